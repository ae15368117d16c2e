/* err: the table's rows, unknown numbers and names, the line that explains. */
#include "lib/err.h"

#include "lib/test.h"

TEST(err_codes_are_unique_and_read_back)
{
	for (unsigned i = 0; i < ERR_COUNT; i++) {
		const struct err_row *row = err_row((enum err)i);

		CHECK_ERR(err_of_code(str_of(row->code)), (enum err)i);
		CHECK(row->http_status >= 200 && row->http_status < 600);
		CHECK(row->text[0] != '\0');
	}
}

TEST(err_unknown_is_internal)
{
	unsigned foreign = 60000;

	CHECK_STR(str_of(err_code((enum err)foreign)), STR("INTERNAL"));
	CHECK_ERR(err_of_code(STR("NO_SUCH_CODE")), ERR_INTERNAL);
	CHECK_ERR(err_of_code(STR("")), ERR_INTERNAL);
}

TEST(err_why_is_cut_and_optional)
{
	struct why why = {.field = "old"};
	char big[1000];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	CHECK_ERR(why_set(&why, ERR_IO, "%s", big), ERR_IO);
	CHECK_INT(strlen(why.text), sizeof(why.text) - 1);
	CHECK_STR(str_of(why.field), STR(""));
	CHECK_ERR(why_field(&why, ERR_BAD_FIELD, "email", "no @ in it"),
		  ERR_BAD_FIELD);
	CHECK_STR(str_of(why.field), STR("email"));
	CHECK_STR(str_of(why.text), STR("no @ in it"));
	CHECK_ERR(why_set(NULL, ERR_IO, "nobody asks"), ERR_IO);
}
