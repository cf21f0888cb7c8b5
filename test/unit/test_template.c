/*
 * test_template.c
 *	  Templates of watched tables, against a plain model: random ones are built
 *	  from parts that are known, and split again.
 */
#include "harness.h"

#include "trigger/template.h"

#define ROUNDS		200000

static bool
has_columns(const char *template, int n)
{
	return pgcache_template_columns(template) == n;
}

static bool
has_text(const char *template, const char *expected)
{
	char		buf[1024];

	return pgcache_template_text(template, buf) == strlen(expected) &&
		strcmp(buf, expected) == 0;
}

static bool
has_pattern(const char *template, const char *expected)
{
	char		buf[1024];

	return pgcache_template_pattern(template, buf) == strlen(expected) &&
		strcmp(buf, expected) == 0;
}

static void
test_examples(void)
{
	const char *rest = "user:{id}";
	PgCachePart first = pgcache_template_next(&rest);
	PgCachePart second = pgcache_template_next(&rest);
	PgCachePart third = pgcache_template_next(&rest);

	ok(first.kind == PGCACHE_PART_TEXT && first.len == 5 &&
	   memcmp(first.text, "user:", 5) == 0, "text first");
	ok(second.kind == PGCACHE_PART_COLUMN && second.len == 2 &&
	   memcmp(second.text, "id", 2) == 0, "then a column");
	ok(third.kind == PGCACHE_PART_END &&
	   pgcache_template_next(&rest).kind == PGCACHE_PART_END, "then nothing, for ever");

	ok(has_columns("", 0) && has_text("", "") && has_pattern("", ""), "nothing");
	ok(has_columns("users", 0) && has_text("users", "users"), "no column");
	ok(has_columns("{a}{b}-{c}", 3) && has_text("{a}{b}-{c}", "-") &&
	   has_pattern("{a}{b}-{c}", "%-%"), "columns side by side");
	ok(has_columns("{{x}}", 0) && has_text("{{x}}", "{x}") &&
	   has_pattern("{{x}}", "{x}"), "braces");
	ok(has_columns("{{{x}}}", 1) && has_text("{{{x}}}", "{}") &&
	   has_pattern("{{{x}}}", "{%}"), "a column in braces");
	ok(has_pattern("50%_\\{a}", "50\\%\\_\\\\%"), "wildcards of LIKE are literal");
	ok(has_columns("{ two words }", 1), "names are not trimmed");
}

static void
test_malformed(void)
{
	static const char *const bad[] = {
		"{", "}", "{}", "a{", "a}", "{a", "a}b", "{a}}", "{{a}", "{a{b}}", "}{",
		"{{}", "{}}", "{a}{", "{a}{}", "}}}", "{{{"
	};

	for (int i = 0; i < lengthof(bad); i++)
		ok(has_columns(bad[i], -1), "malformed: %s", bad[i]);
}

/* Columns, columns' text, pattern and parts of random templates. */
static void
test_random(void)
{
	int			wrong = 0;

	for (int round = 0; round < ROUNDS; round++)
	{
		static const char alphabet[] = "ab%_\\{}:\xc3\xa4";
		char		template[256];
		char		text[256];
		char		pattern[256];
		int			t = 0,
					x = 0,
					p = 0,
					columns = 0;
		bool		after_column = false;

		for (int n = random_below(12); n > 0; n--)
		{
			char		c = alphabet[random_below(sizeof(alphabet) - 1)];

			if (random_below(3) == 0)
			{
				t += sprintf(template + t, "{c%d}", columns++);
				if (!after_column)
					pattern[p++] = '%';
				after_column = true;
				continue;
			}
			template[t++] = c;
			if (c == '{' || c == '}')
				template[t++] = c;
			text[x++] = c;
			if (c == '%' || c == '_' || c == '\\')
				pattern[p++] = '\\';
			pattern[p++] = c;
			after_column = false;
		}
		template[t] = text[x] = pattern[p] = '\0';
		wrong += !has_columns(template, columns) || !has_text(template, text) ||
			!has_pattern(template, pattern);
	}
	ok(wrong == 0, "%d random templates", ROUNDS);
}

/* Any bytes: it ends, and stays within the string. */
static void
test_garbage(void)
{
	int			wrong = 0;

	for (int round = 0; round < ROUNDS; round++)
	{
		int			len = random_below(16);
		char	   *exact = malloc(len + 1);
		char	   *pattern = malloc(2 * len + 1);
		char	   *text = malloc(len + 1);

		for (int i = 0; i < len; i++)
			exact[i] = "{}a%"[random_below(4)];
		exact[len] = '\0';
		wrong += pgcache_template_pattern(exact, pattern) > 2 * len ||
			pgcache_template_text(exact, text) > len ||
			pgcache_template_columns(exact) > len;
		free(exact);
		free(pattern);
		free(text);
	}
	ok(wrong == 0, "%d strings of braces", ROUNDS);
}

int
main(void)
{
	test_examples();
	test_malformed();
	test_random();
	test_garbage();
	return done_testing();
}
