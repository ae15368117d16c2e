/*
 * crypto_test: known answers for what is derived, refusals, and that a sealed
 * secret opens only as what it was sealed.
 */
#include "lib/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/crypto.h"
#include "store/master_key.h"

static void
write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
	CHECK(chmod(path, mode) == 0);
}

#define DIGITS_32 "000102030405060708090a0b0c0d0e0f"

static struct crypto *
open_known(void)
{
	struct crypto *crypto = NULL;

	write_file("known.key", DIGITS_32 DIGITS_32 "\n", 0600);
	CHECK_OK(crypto_open(&crypto, "known.key", NULL));
	return crypto;
}

static struct str
hex(const unsigned char *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		sprintf(out + 2 * i, "%02x", p[i]);
	return str_bytes(out, 2 * n);
}

TEST(a_new_master_key_is_private_and_never_replaced)
{
	struct crypto *a = NULL, *b = NULL;
	unsigned char check_a[CRYPTO_HASH_BYTES], check_b[CRYPTO_HASH_BYTES];
	struct why why = {.text = ""};
	struct stat st;

	umask(0);
	CHECK_OK(crypto_make_master_key("master.key", &why));
	CHECK(stat("master.key", &st) == 0);
	CHECK_INT(st.st_mode & 0777, 0600);
	CHECK_INT(st.st_size, 65);
	CHECK(access("master.key.new", F_OK) != 0);
	CHECK_OK(crypto_open(&a, "master.key", NULL));
	CHECK_ERR(crypto_make_master_key("master.key", &why), ERR_EXISTS);
	CHECK(strstr(why.text, "master.key") != NULL);
	CHECK_OK(crypto_open(&b, "master.key", NULL));
	crypto_key_check(a, check_a);
	crypto_key_check(b, check_b);
	CHECK(memcmp(check_a, check_b, sizeof(check_a)) == 0);
	crypto_close(a);
	crypto_close(b);
	CHECK_OK(crypto_make_master_key("other.key", NULL));
	CHECK_OK(crypto_open(&b, "other.key", NULL));
	crypto_key_check(b, check_b);
	CHECK(memcmp(check_a, check_b, sizeof(check_a)) != 0);
	crypto_close(b);
	CHECK_ERR(crypto_make_master_key("no/such/folder", &why), ERR_IO);
}

TEST(a_doubtful_master_key_is_refused_with_one_line)
{
	static const struct {
		const char *text;
		mode_t mode;
		const char *says;
	} cases[] = {
	    {DIGITS_32 DIGITS_32 "\n", 0640, "chmod 600"},
	    {DIGITS_32 DIGITS_32 "\n", 0604, "chmod 600"},
	    {"", 0600, "damaged"},
	    {DIGITS_32 "\n", 0600, "damaged"},
	    {DIGITS_32 DIGITS_32 "00\n", 0600, "damaged"},
	    {DIGITS_32 DIGITS_32 "\n\n", 0600, "damaged"},
	    {DIGITS_32 DIGITS_32 "\n" DIGITS_32 "\n", 0600, "damaged"},
	    {DIGITS_32 DIGITS_32 " " DIGITS_32 DIGITS_32 "\n", 0600, "damaged"},
	    {"x" DIGITS_32 DIGITS_32, 0600, "damaged"},
	    {"g0" DIGITS_32 "0102030405060708090a0b0c0d0e0f", 0600, "damaged"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct crypto *crypto = NULL;
		struct why why = {.text = ""};

		write_file("k", cases[i].text, cases[i].mode);
		CHECK_ERR(crypto_open(&crypto, "k", &why), ERR_CONFIG);
		CHECK(crypto == NULL);
		if (!strstr(why.text, cases[i].says))
			test_fail(__FILE__, __LINE__, "case %zu says %s", i,
				  why.text);
		CHECK(strstr(why.text, "0001") == NULL);
		CHECK(strchr(why.text, '\n') == NULL);
	}
}

TEST(a_missing_master_key_and_a_folder_are_refused)
{
	struct crypto *crypto = NULL;
	struct why why = {.text = ""};

	CHECK_ERR(crypto_open(&crypto, "none.key", &why), ERR_CONFIG);
	CHECK(strstr(why.text, "restore it") != NULL);
	CHECK(mkdir("folder", 0700) == 0);
	CHECK_ERR(crypto_open(&crypto, "folder", &why), ERR_CONFIG);
	CHECK(crypto == NULL);
}

/* The answers were computed with another implementation of RFC 5869 and
 * RFC 2104; they pin what stores already hold. */
TEST(derivation_and_hash_have_their_known_answers)
{
	struct crypto *crypto = open_known();
	unsigned char out[CRYPTO_HASH_BYTES];
	char text[2 * CRYPTO_HASH_BYTES + 1];

	for (int round = 0; round < 2; round++) {
		crypto_hash_license_key(crypto, STR("CHA-TEST-1234-5678-ABCD"),
					out);
		CHECK_STR(hex(out, sizeof(out), text),
			  STR("fb7e35e04ed95e3ab0fcedcc8b82f109"
			      "69210084c2886beebcbfa38f0b01f109"));
	}
	crypto_key_check(crypto, out);
	CHECK_STR(hex(out, sizeof(out), text),
		  STR("0c75e9a3f6435dd942dbc844ce0a4a77"
		      "767252ab35cd33dcb2228d842b5e5043"));
	crypto_hash_token(STR("abc"), out);
	CHECK_STR(hex(out, sizeof(out), text),
		  STR("ba7816bf8f01cfea414140de5dae2223"
		      "b00361a396177a9cb410ff61f20015ad"));
	crypto_close(crypto);
}

TEST(a_sealed_secret_opens_as_what_it_was)
{
	struct crypto *crypto = open_known();
	struct arena arena;
	struct str a, b, secret;

	arena_init(&arena, 1 << 20);
	CHECK_OK(
	    crypto_seal(crypto, STR("the secret"), STR("lic_1"), &arena, &a));
	CHECK_OK(
	    crypto_seal(crypto, STR("the secret"), STR("lic_1"), &arena, &b));
	CHECK(!str_eq(a, b)); /* a fresh nonce */
	CHECK(memmem(a.p, a.n, "secret", 6) == NULL);
	CHECK_OK(crypto_open_sealed(crypto, a, STR("lic_1"), &arena, &secret));
	CHECK_STR(secret, STR("the secret"));
	CHECK_OK(crypto_seal(crypto, STR(""), STR(""), &arena, &a));
	CHECK_OK(crypto_open_sealed(crypto, a, STR(""), &arena, &secret));
	CHECK_INT(secret.n, 0);
	arena_fini(&arena);
	crypto_close(crypto);
}

TEST(a_blob_that_was_touched_or_belongs_elsewhere_does_not_open)
{
	struct crypto *crypto = open_known(), *other = NULL;
	struct arena arena;
	struct str blob, copy, secret = STR("untouched");

	arena_init(&arena, 1 << 20);
	CHECK_OK(
	    crypto_seal(crypto, STR("secret"), STR("lic_1"), &arena, &blob));
	CHECK_ERR(
	    crypto_open_sealed(crypto, blob, STR("lic_2"), &arena, &secret),
	    ERR_STORE_CORRUPT);
	for (size_t i = 0; i < blob.n; i++) {
		char bytes[128];

		CHECK(blob.n <= sizeof(bytes));
		memcpy(bytes, blob.p, blob.n);
		bytes[i] ^= 1;
		copy = str_bytes(bytes, blob.n);
		CHECK_ERR(crypto_open_sealed(crypto, copy, STR("lic_1"), &arena,
					     &secret),
			  ERR_STORE_CORRUPT);
		copy = str_bytes(blob.p, i);
		CHECK_ERR(crypto_open_sealed(crypto, copy, STR("lic_1"), &arena,
					     &secret),
			  ERR_STORE_CORRUPT);
	}
	CHECK_OK(crypto_make_master_key("other.key", NULL));
	CHECK_OK(crypto_open(&other, "other.key", NULL));
	CHECK_ERR(
	    crypto_open_sealed(other, blob, STR("lic_1"), &arena, &secret),
	    ERR_STORE_CORRUPT);
	CHECK_STR(secret, STR("untouched"));
	arena_fini(&arena);
	crypto_close(other);
	crypto_close(crypto);
}

TEST(licence_keys_are_normalized_or_refused)
{
	static const struct {
		const char *in;
		const char *out; /* NULL = refused */
	} cases[] = {
	    {"CHA-TEST-1234-5678-ABCD", "CHA-TEST-1234-5678-ABCD"},
	    {"  cha-test-1234-5678-abcd\r\n", "CHA-TEST-1234-5678-ABCD"},
	    {"0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d",
	     "0A1B2C3D-0A1B2C3D-0A1B2C3D-0A1B2C3D"},
	    {"old_key_7", "OLD_KEY_7"},
	    {"", NULL},
	    {" \t ", NULL},
	    {"two words", NULL},
	    {"CHA-\xc3\x89", NULL},
	    {"CHA;1", NULL},
	};
	char out[LICENSE_KEY_BYTES_MAX], big[LICENSE_KEY_BYTES_MAX + 1];
	size_t n;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool is_key =
		    crypto_normalize_license_key(str_of(cases[i].in), out, &n);

		CHECK(is_key == (cases[i].out != NULL));
		if (is_key)
			CHECK_STR(str_bytes(out, n), str_of(cases[i].out));
	}
	memset(big, 'A', sizeof(big));
	CHECK(!crypto_normalize_license_key(str_bytes(big, sizeof(big)), out,
					    &n));
	CHECK(crypto_normalize_license_key(str_bytes(big, sizeof(big) - 1), out,
					   &n));
	CHECK_INT(n, LICENSE_KEY_BYTES_MAX);
	CHECK(!crypto_normalize_license_key(STR("A\0B"), out, &n));
}

TEST(new_licence_keys_have_the_shape_and_all_characters)
{
	bool seen[128] = {false};
	char out[LICENSE_KEY_BYTES_MAX], again[LICENSE_KEY_BYTES_MAX];
	unsigned kinds = 0;
	size_t n;

	for (int i = 0; i < 400; i++) {
		struct str key = crypto_make_license_key(STR("CHA"), out);

		CHECK_INT(key.n, 23);
		CHECK(str_starts(key, STR("CHA-")));
		for (size_t j = 4; j < key.n; j++) {
			if (j % 5 == 3)
				CHECK(key.p[j] == '-');
			else
				seen[(unsigned char)key.p[j]] = true;
		}
		CHECK(crypto_normalize_license_key(key, again, &n));
		CHECK_STR(str_bytes(again, n), key);
	}
	for (int c = 0; c < 128; c++)
		kinds += seen[c];
	CHECK_INT(kinds, 32);
	CHECK(!seen['0'] && !seen['O'] && !seen['1'] && !seen['I']);
	CHECK_INT(crypto_make_license_key(STR(""), out).n, 19);
}

TEST(masked_keys_show_prefix_and_end_only)
{
	static const char *const cases[][2] = {
	    {"CHA-TEST-1234-5678-ABCD", "CHA-****-****-****-ABCD"},
	    {"0A1B2C3D-0A1B2C3D-0A1B2C3D-0A1B2C3D",
	     "********-********-********-****2C3D"},
	    {"ABCDEFGHIJKL", "********IJKL"},
	    {"ABCDEFGHIJK", "***********"},
	    {"A", "*"},
	};
	struct arena arena;

	arena_init(&arena, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CHECK_STR(crypto_mask_license_key(str_of(cases[i][0]), &arena),
			  str_of(cases[i][1]));
	arena_fini(&arena);
}

TEST(equal_compares_all_bytes)
{
	CHECK(crypto_equal(STR("abc"), STR("abc")));
	CHECK(!crypto_equal(STR("abc"), STR("abd")));
	CHECK(!crypto_equal(STR("abc"), STR("ab")));
	CHECK(crypto_equal(STR_NONE, STR("")));
}

TEST(provider_keys_are_sealed_with_a_key_of_their_own)
{
	struct crypto *whole = open_known(), *proxy = NULL;
	struct str blob, secret, identity = STR("vendor openai default");
	struct arena arena;

	arena_init(&arena, 65536);
	CHECK_OK(crypto_open_provider_keys(&proxy, "known.key", NULL));
	CHECK_OK(crypto_seal(crypto_provider_keys(whole), STR("sk-1"), identity,
			     &arena, &blob));
	CHECK_OK(crypto_open_sealed(proxy, blob, identity, &arena, &secret));
	CHECK_STR(secret, STR("sk-1"));
	CHECK_ERR(crypto_open_sealed(proxy, blob, STR("vendor openai other"),
				     &arena, &secret),
		  ERR_STORE_CORRUPT);
	/* Neither opens what the other sealed. */
	CHECK_ERR(crypto_open_sealed(whole, blob, identity, &arena, &secret),
		  ERR_STORE_CORRUPT);
	CHECK_OK(crypto_seal(whole, STR("lic"), identity, &arena, &blob));
	CHECK_ERR(crypto_open_sealed(proxy, blob, identity, &arena, &secret),
		  ERR_STORE_CORRUPT);
	CHECK_ERR(crypto_open_provider_keys(&proxy, "absent.key", NULL),
		  ERR_CONFIG);
	arena_fini(&arena);
	crypto_close(proxy);
	crypto_close(whole);
}

/* --- two keys --------------------------------------------------------------
 */

#define DIGITS_64 DIGITS_32 DIGITS_32
#define OTHER_64                                                               \
	"ffeeddccbbaa99887766554433221100"                                     \
	"ffeeddccbbaa99887766554433221100"

static struct crypto *
open_text(const char *text)
{
	struct crypto *crypto;

	write_file("text.key", text, 0600);
	CHECK_OK(crypto_open(&crypto, "text.key", NULL));
	CHECK(unlink("text.key") == 0);
	return crypto;
}

TEST(a_file_with_two_keys_opens_what_either_sealed)
{
	struct crypto *one = open_text(DIGITS_64 "\n");
	struct crypto *two = open_text(OTHER_64 "\n");
	struct crypto *both = open_text(DIGITS_64 "\n" OTHER_64 "\n");
	unsigned char check[CRYPTO_HASH_BYTES];
	struct str first, second, again, secret;
	struct arena arena;

	arena_init(&arena, 65536);
	CHECK(!crypto_has_next(one) && crypto_has_next(both));
	CHECK_OK(crypto_seal(one, STR("a"), STR("id"), &arena, &first));
	CHECK_OK(crypto_seal(two, STR("b"), STR("id"), &arena, &second));
	CHECK_OK(crypto_open_sealed(both, first, STR("id"), &arena, &secret));
	CHECK_STR(secret, STR("a"));
	CHECK_OK(crypto_open_sealed(both, second, STR("id"), &arena, &secret));
	CHECK_STR(secret, STR("b"));
	/* The store says which one seals, whichever stands first. */
	crypto_key_check(two, check);
	CHECK_OK(
	    crypto_unlock(both, str_bytes(check, sizeof(check)), STR_NONE));
	CHECK_OK(crypto_reseal(both, first, STR("id"), &arena, &again));
	CHECK_OK(crypto_open_sealed(two, again, STR("id"), &arena, &secret));
	CHECK_STR(secret, STR("a"));
	CHECK_ERR(crypto_open_sealed(one, again, STR("id"), &arena, &secret),
		  ERR_STORE_CORRUPT);
	CHECK_OK(crypto_reseal(both, second, STR("id"), &arena, &again));
	CHECK(again.p == second.p);
	CHECK_ERR(crypto_reseal(both, first, STR("di"), &arena, &again),
		  ERR_STORE_CORRUPT);
	check[0] ^= 1;
	CHECK_ERR(
	    crypto_unlock(both, str_bytes(check, sizeof(check)), STR_NONE),
	    ERR_CONFIG);
	arena_fini(&arena);
	crypto_close(one);
	crypto_close(two);
	crypto_close(both);
}

TEST(the_find_key_stays_under_another_master_key)
{
	struct crypto *one = open_text(DIGITS_64 "\n");
	struct crypto *both = open_text(DIGITS_64 "\n" OTHER_64 "\n");
	struct crypto *two = open_text(OTHER_64 "\n");
	unsigned char a[CRYPTO_HASH_BYTES], b[CRYPTO_HASH_BYTES];
	unsigned char check[CRYPTO_HASH_BYTES];
	struct str sealed, key = STR("CHA-TEST-1234-5678-ABCD");
	struct arena arena;

	arena_init(&arena, 65536);
	crypto_hash_license_key(one, key, b);
	CHECK(crypto_make_find_key(one));
	crypto_hash_license_key(one, key, a);
	CHECK(memcmp(a, b, sizeof(a)) != 0); /* it is not the derived one */
	crypto_key_check(one, check);
	CHECK_OK(crypto_seal_find_key(one, &arena, &sealed));
	CHECK_OK(crypto_unlock(both, str_bytes(check, sizeof(check)), sealed));
	crypto_next_check(both, check);
	CHECK(crypto_use(both, str_bytes(check, sizeof(check))));
	CHECK_OK(crypto_seal_find_key(both, &arena, &sealed));
	CHECK_OK(crypto_unlock(two, str_bytes(check, sizeof(check)), sealed));
	crypto_hash_license_key(two, key, b);
	CHECK(memcmp(a, b, sizeof(a)) == 0);
	crypto_key_check(one, check);
	CHECK_ERR(crypto_unlock(one, str_bytes(check, sizeof(check)), sealed),
		  ERR_STORE_CORRUPT);
	arena_fini(&arena);
	crypto_close(one);
	crypto_close(two);
	crypto_close(both);
}

TEST(the_next_key_is_taken_from_who_has_the_first)
{
	struct crypto *one = open_text(DIGITS_64 "\n");
	struct crypto *two = open_text(OTHER_64 "\n");
	struct crypto *both = open_text(DIGITS_64 "\n" OTHER_64 "\n");
	struct str blob, next, secret;
	struct arena arena;

	arena_init(&arena, 65536);
	CHECK_OK(crypto_seal(two, STR("b"), STR("id"), &arena, &blob));
	CHECK_OK(crypto_give_next(both, &arena, &next));
	CHECK_ERR(crypto_open_sealed(one, blob, STR("id"), &arena, &secret),
		  ERR_STORE_CORRUPT);
	CHECK_OK(crypto_take_next(one, next));
	CHECK_OK(crypto_take_next(one, next));
	CHECK_OK(crypto_take_next(both, next));
	CHECK_OK(crypto_open_sealed(one, blob, STR("id"), &arena, &secret));
	CHECK_STR(secret, STR("b"));
	CHECK_ERR(crypto_take_next(two, next), ERR_STORE_CORRUPT);
	CHECK_ERR(crypto_take_next(one, blob), ERR_STORE_CORRUPT);
	arena_fini(&arena);
	crypto_close(one);
	crypto_close(two);
	crypto_close(both);
}

TEST(a_key_file_is_replaced_whole)
{
	struct master_keys keys, read;
	struct stat st;

	write_file("real.key", DIGITS_64, 0600); /* without its line end */
	CHECK(symlink("real.key", "link.key") == 0);
	CHECK_OK(master_keys_read("link.key", &keys, NULL));
	CHECK_INT(keys.count, 1);
	master_keys_add(&keys);
	CHECK_OK(master_keys_replace("link.key", &keys, NULL));
	CHECK(lstat("link.key", &st) == 0 && S_ISLNK(st.st_mode));
	CHECK(stat("real.key", &st) == 0 && (st.st_mode & 0777) == 0600);
	CHECK(access("real.key.new", F_OK) != 0);
	CHECK_OK(master_keys_read("real.key", &read, NULL));
	CHECK_INT(read.count, 2);
	CHECK(memcmp(&read, &keys, sizeof(keys)) == 0);
	/* A start that was interrupted. */
	write_file("real.key.new", "rubbish", 0600);
	CHECK_OK(master_keys_replace("real.key", &keys, NULL));
	CHECK(access("real.key.new", F_OK) != 0);
	CHECK_ERR(master_keys_replace("absent.key", &keys, NULL), ERR_IO);
	CHECK(access("absent.key", F_OK) != 0);
}
