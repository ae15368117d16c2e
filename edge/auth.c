/*
 * auth: see auth.h.
 */
#include "edge/auth.h"

#include "lib/json.h"

static struct str
bearer(struct str value)
{
	static const struct str scheme = {"Bearer ", 7};

	if (value.n < scheme.n ||
	    !str_eq_nocase(str_bytes(value.p, scheme.n), scheme))
		return STR_NONE;
	return str_trim(str_bytes(value.p + scheme.n, value.n - scheme.n));
}

struct str
auth_header_key(const struct audit *head)
{
	const struct str keys[] = {
	    head->header[AUDIT_LICENSE_KEY],
	    bearer(head->header[AUDIT_AUTHORIZATION]),
	    head->header[AUDIT_API_KEY],
	};
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].n > 0)
			return keys[i];
	return STR_NONE;
}

struct str
auth_site(struct str text)
{
	struct str site = str_trim(text);
	const char *scheme = site.n ? memmem(site.p, site.n, "://", 3) : NULL;
	size_t i;

	if (scheme) {
		site.n -= (size_t)(scheme + 3 - site.p);
		site.p = scheme + 3;
	}
	for (i = 0; i < site.n; i++)
		if (memchr("/?#", site.p[i], 3))
			break;
	site.n = i;
	if (site.n == 0 || str_eq(site, STR("null")))
		return STR_NONE;
	return site;
}

/* A member that is absent or null leaves *out alone. */
static enum err
member(struct json_value object, const char *name, struct str *out,
       struct arena *arena, struct why *why)
{
	struct json_value value;
	struct str text;

	if (!json_get(object, str_of(name), &value) || value.type == JSON_NULL)
		return ERR_OK;
	if (value.type != JSON_STRING)
		return why_field(why, ERR_BAD_FIELD, name, "%s is not a string",
				 name);
	text = json_string(value, arena);
	if (text.p == NULL)
		return why_set(why, ERR_NO_MEMORY, "out of memory");
	*out = str_trim(text);
	return ERR_OK;
}

static enum err
read_body(struct str body, struct str *key, struct str *domain,
	  struct arena *arena, struct why *why)
{
	struct json_value object;
	enum err e;

	if (str_trim(body).n == 0)
		return ERR_OK;
	if (!json_check(body, &object) || object.type != JSON_OBJECT)
		return why_set(why, ERR_BAD_REQUEST,
			       "the body is not a JSON object");
	e = member(object, "key", key, arena, why);
	if (e == ERR_OK)
		e = member(object, "license_key", key, arena, why);
	if (e == ERR_OK)
		e = member(object, "domain", domain, arena, why);
	return e;
}

static bool
is_printable(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return true;
}

enum err
auth_read(const struct audit *head, struct str body, struct str *key,
	  struct str *domain, struct arena *arena, struct why *why)
{
	struct str header_key = auth_header_key(head);
	struct str body_key = STR_NONE, body_domain = STR_NONE;
	struct str site;
	enum err e;

	if (body.p) {
		e = read_body(body, &body_key, &body_domain, arena, why);
		if (e != ERR_OK)
			return e;
	}
	*key = header_key.n ? header_key : body_key;
	site = auth_site(body_domain);
	if (site.n == 0)
		site = auth_site(head->header[AUDIT_SITE_URL]);
	if (site.n == 0)
		site = auth_site(head->header[AUDIT_ORIGIN]);
	*domain = site;
	if (site.n > AUTH_DOMAIN_BYTES_MAX || !is_printable(site))
		return why_field(why, ERR_BAD_FIELD, "domain",
				 "the site is no host name: send it as "
				 "`domain` or X-Site-Url");
	if (key->n == 0)
		*key = STR_NONE;
	if (key->n > AUTH_KEY_BYTES_MAX || !is_printable(*key))
		return why_set(why, ERR_NOT_FOUND, "%s",
			       err_text(ERR_NOT_FOUND));
	return ERR_OK;
}
