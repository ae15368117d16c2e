/* arena: alignment, zeroing, the limit, reset. */
#include "lib/arena.h"

#include "lib/test.h"

TEST(arena_is_zeroed_and_aligned)
{
	struct arena arena;

	arena_init(&arena, 1 << 20);
	for (int round = 0; round < 3; round++) {
		for (size_t n = 0; n < 300; n++) {
			unsigned char *p = arena_alloc(&arena, n);

			CHECK(p && (uintptr_t)p % 16 == 0);
			for (size_t i = 0; i < n; i++)
				CHECK(p[i] == 0);
			memset(p, 0xff, n);
		}
		arena_reset(&arena);
	}
	arena_fini(&arena);
}

TEST(arena_stops_at_its_limit)
{
	struct arena arena;
	size_t total = 0;

	arena_init(&arena, 100000);
	while (arena_alloc(&arena, 1000))
		total += 1000;
	CHECK(total >= 95000 && total <= 100000);
	CHECK(arena_alloc(&arena, SIZE_MAX) == NULL);
	CHECK(arena_array(&arena, SIZE_MAX / 2, 3) == NULL);
	arena_reset(&arena);
	CHECK(arena_alloc(&arena, 100000));
	arena_fini(&arena);
}

TEST(arena_is_wiped)
{
	struct arena arena;
	struct str in_first, in_second;

	arena_init(&arena, 1u << 20);
	in_first = arena_str(&arena, STR("secret"));
	CHECK(arena_alloc(&arena, 100000));
	in_second = arena_str(&arena, STR("secret"));
	arena_wipe(&arena);
	CHECK_STR(in_first, STR("\0\0\0\0\0\0"));
	CHECK_STR(in_second, STR("\0\0\0\0\0\0"));
	arena_fini(&arena);
	arena_wipe(&arena);
}

TEST(arena_copies_text)
{
	struct arena arena;
	struct str s;

	arena_init(&arena, 4096);
	s = arena_str(&arena, STR("abc"));
	CHECK_STR(s, STR("abc"));
	CHECK(s.p[3] == '\0');
	CHECK(arena_str(&arena, STR_NONE).p == NULL);
	CHECK(arena_str(&arena, STR("")).p != NULL);
	s = arena_printf(&arena, "%s-%d", "n", 7);
	CHECK_STR(s, STR("n-7"));
	CHECK(arena_printf(&arena, "%5000d", 1).p == NULL);
	arena_fini(&arena);
}
