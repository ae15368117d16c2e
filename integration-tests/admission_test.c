/*
 * admission: nothing reaches a provider but through admission. The edge's own
 * table of routes is walked, so a new route that leads to a proxy is asked for
 * here before anybody else does: it is refused where the licence is, or this
 * test fails. One whose body is not understood fails, too: then give it one.
 */
#include <stdio.h>

#include "edge/routes.h"
#include "integration-tests/ask.h"

/* What every AI route understands. */
static const char question[] =
    "{\"model\":\"%s\",\"max_tokens\":20,\"messages\":[{\"role\":\"user\","
    "\"content\":\"Hello\"}]}";

/* Routes that make no line on the ledger. They need a licence and its feature;
 * a month that is used up does not stop them. */
static const struct free_route {
	const char *path;
	int status; /* without the feature: refused, or it shows nothing */
} free_routes[] = {
    {"/v1/messages/count_tokens", 403},
    {"/v1/models", 200},
    {"/v1/models/{model...}", 404},
};

static const struct free_route *
free_of(const struct route *route)
{
	for (size_t i = 0; i < sizeof(free_routes) / sizeof(free_routes[0]);
	     i++)
		if (strcmp(route->path, free_routes[i].path) == 0)
			return &free_routes[i];
	return NULL;
}

/* Only a proxy connects outward. */
static bool
reaches_provider(const struct route *route)
{
	return route->pool == POOL_PROXY &&
	       (route->listeners & 1u << LISTENER_PUBLIC);
}

static int
ask_route(const struct house *house, const struct route *route, const char *key)
{
	char path[128], headers[256], body[512];
	struct answer answer;
	char *part;

	snprintf(path, sizeof(path), "%s", route->path);
	part = strchr(path, '{');
	if (part)
		snprintf(part, (size_t)(path + sizeof(path) - part), MODEL);
	snprintf(headers, sizeof(headers),
		 "Content-Type: application/json\r\n%s%s%s",
		 key ? "X-License-Key: " : "", key ? key : "",
		 key ? "\r\n" : "");
	/* Anthropic's model, so that its tokens are counted by the provider. */
	snprintf(body, sizeof(body), question, CLAUDE_MODEL);
	http(&answer, house->public, route->method, path, headers,
	     route->body_limit_bytes ? str_of(body) : STR(""));
	answer_free(&answer);
	return answer.status;
}

static void
expect(const struct house *house, const struct route *route, const char *key,
       int want)
{
	int status = ask_route(house, route, key);

	if (status != want)
		test_fail(__FILE__, __LINE__, "%s %s answers %d, not %d",
			  route->method, route->path, status, want);
}

static void
check_nothing_was_asked(const struct house *house)
{
	json_t *counts = upstream_counts(house);

	CHECK_JSON_INT(counts, "requests", 0);
	CHECK_JSON_STR(counts, "last_head", "");
	json_decref(counts);
}

TEST_LIMITED(admission_stands_before_every_provider, 90)
{
	const char *plain, *spent, *good;
	struct house house;
	int walked = 0, lines = 0, free_count = 0;
	json_t *ledger;

	house_init(&house);
	house_sell();
	house_plan("spent", "0", "1000000");
	json_decref(tool("plan", "set", "plain", "--feature", "none", NULL));
	plain = house_license("plain");
	spent = house_license("spent");
	good = house_license("big");
	house_up(&house);
	upstream_reset(&house);
	for (size_t i = 0; i < routes_count; i++) {
		const struct free_route *is_free = free_of(&routes[i]);

		if (!reaches_provider(&routes[i]))
			continue;
		walked++;
		expect(&house, &routes[i], NULL, 401);
		expect(&house, &routes[i], "CHA-AAAA-AAAA-AAAA-AAAA", 401);
		expect(&house, &routes[i], plain,
		       is_free ? is_free->status : 403);
		if (!is_free)
			expect(&house, &routes[i], spent, 429);
	}
	check_nothing_was_asked(&house);
	for (size_t i = 0; i < routes_count; i++) {
		if (!reaches_provider(&routes[i]))
			continue;
		expect(&house, &routes[i], good, 200);
		lines += free_of(&routes[i]) == NULL;
		free_count += free_of(&routes[i]) != NULL;
	}
	CHECK(walked >= 5 && lines >= 3);
	/* No row of the list above that no route is. */
	CHECK_INT(free_count, sizeof(free_routes) / sizeof(free_routes[0]));
	CHECK_INT(house_down(&house), 0);
	ledger = house_ledger();
	CHECK_INT(json_array_size(ledger), lines);
	CHECK_INT(ledger_count(ledger, "settled"), lines);
	json_decref(ledger);
}
