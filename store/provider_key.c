/*
 * provider_key: see provider_key.h.
 */
#include "store/provider_key.h"

#define SHOWN_CHARS 4u
#define SHOWN_LEAST 16u /* of a shorter key the end would say too much */

static const char *const providers[] = {
#define PROVIDER(name, ...) #name,
#include "lib/providers.def"
#undef PROVIDER
};

static const char listed[] =
#define PROVIDER(name, ...) ", " #name
#include "lib/providers.def"
#undef PROVIDER
    ;
const char *const provider_key_providers = listed + 2;

const char *
provider_key_provider(size_t i)
{
	return i < sizeof(providers) / sizeof(providers[0]) ? providers[i]
							    : NULL;
}

bool
provider_key_is_of(struct str provider)
{
	for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
		if (str_eq(provider, str_of(providers[i])))
			return true;
	return false;
}

bool
provider_key_is_valid(struct str key, const char **reason)
{
	if (str_is_empty(str_trim(key))) {
		*reason = "the key is empty";
		return false;
	}
	for (size_t i = 0; i < key.n; i++) {
		if (key.p[i] > ' ' && key.p[i] < 0x7f)
			continue;
		*reason = "the key has blanks, line breaks or characters that "
			  "no key has: copy it again";
		return false;
	}
	if (key.n > PROVIDER_KEY_BYTES_MAX) {
		*reason = "the key is too long: at most 512 characters";
		return false;
	}
	return true;
}

bool
provider_key_name_is_valid(struct str name)
{
	return str_is_word(name) && name.n <= PROVIDER_KEY_NAME_BYTES_MAX;
}

struct str
provider_key_mask(struct str key, struct arena *arena)
{
	size_t shown = key.n < SHOWN_LEAST ? 0 : SHOWN_CHARS;

	return arena_printf(arena, "****%.*s", (int)shown,
			    key.p ? key.p + key.n - shown : "");
}

struct str
provider_key_identity(struct str owner, struct str provider, struct str name,
		      struct arena *arena)
{
	return arena_printf(arena, "provider key %.*s %.*s %.*s",
			    STR_ARG(owner), STR_ARG(provider), STR_ARG(name));
}
