#include "challenge.h"

#include "base/scope.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// tchar of RFC 9110
static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static size_t token_size(const char *text)
{
    size_t size = 0;
    while (is_token_char(text[size]))
        size++;
    return size;
}

// "abc+/==": what some schemes put in the place of parameters. 0 where it is none, or where it
// is a parameter's name.
static size_t token68_size(const char *text)
{
    size_t size = 0;
    while ((is_token_char(text[size]) && strchr("!#$%&'*^`|", text[size]) == NULL) ||
           text[size] == '/')
        size++;
    size_t letters = size;
    while (letters > 0 && text[size] == '=')
        size++;
    size_t end = size + strspn(text + size, " \t");
    return text[end] == '\0' || text[end] == ',' ? size : 0;
}

static void skip_space(const char **text)
{
    *text += strspn(*text, " \t");
}

static void skip_commas(const char **text)
{
    *text += strspn(*text, " \t,");
}

// A token or a quoted string, which is unquoted. -EINVAL, -ENOMEM.
static int take_value(const char **text, char **ret_value)
{
    const char *c = *text;
    if (*c != '"') {
        size_t size = token_size(c);
        if (size == 0 || size > CHALLENGE_VALUE_MAX)
            return -EINVAL;
        *text = c + size;
        *ret_value = strndup(c, size);
        return *ret_value == NULL ? -ENOMEM : 0;
    }
    size_t limit = strlen(++c);
    auto_free char *value = malloc(limit + 1);
    if (value == NULL)
        return -ENOMEM;
    size_t size = 0;
    for (; *c != '"'; c++) {
        if (*c == '\\')
            c++;
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f || size >= CHALLENGE_VALUE_MAX)
            return -EINVAL;
        value[size++] = *c;
    }
    value[size] = '\0';
    *text = c + 1;
    *ret_value = TAKE(value);
    return 0;
}

// Where the challenge keeps a parameter of that name; NULL for one that is of no use here.
static char **parameter_place(struct challenge *challenge, const char *name, size_t size)
{
    const struct {
        const char *name;
        char **place;
    } known[] = {
        {"realm", &challenge->realm},
        {"service", &challenge->service},
        {"scope", &challenge->scope},
        {"error", &challenge->error},
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (strlen(known[i].name) == size && strncasecmp(known[i].name, name, size) == 0)
            return known[i].place;
    return NULL;
}

// One name=value. Answers 1 when *text stands at no parameter but at the next scheme.
static int take_parameter(const char **text, struct challenge *challenge)
{
    const char *name = *text;
    size_t size = token_size(name);
    const char *rest = name + size;
    skip_space(&rest);
    if (size == 0 || *rest != '=')
        return 1;
    rest++;
    skip_space(&rest);
    auto_free char *value = NULL;
    int status = take_value(&rest, &value);
    if (status < 0)
        return status;
    char **place = parameter_place(challenge, name, size);
    if (place != NULL && *place != NULL)
        return -EINVAL;
    if (place != NULL)
        *place = TAKE(value);
    *text = rest;
    return 0;
}

static enum challenge_scheme scheme_of(const char *name, size_t size)
{
    if (size == strlen("bearer") && strncasecmp(name, "bearer", size) == 0)
        return CHALLENGE_BEARER;
    if (size == strlen("basic") && strncasecmp(name, "basic", size) == 0)
        return CHALLENGE_BASIC;
    return CHALLENGE_OTHER;
}

static int take_challenge(const char **text, struct challenge *challenge)
{
    size_t size = token_size(*text);
    if (size == 0)
        return -EINVAL;
    challenge->scheme = scheme_of(*text, size);
    *text += size;
    if (**text == '\0' || **text == ',')
        return 0;
    if (**text != ' ' && **text != '\t')
        return -EINVAL;
    skip_space(text);
    size = token68_size(*text);
    if (size > 0) {
        *text += size;
        skip_space(text);
        return 0;
    }
    for (;;) {
        int status = take_parameter(text, challenge);
        if (status != 0)
            return status < 0 ? status : 0;
        skip_space(text);
        if (**text != ',')
            return **text == '\0' ? 0 : -EINVAL;
        skip_commas(text);
    }
}

int registry_challenges_parse(const char *text, struct challenges *ret_challenges)
{
    struct challenges challenges = {0};
    int status = 0;
    for (skip_commas(&text); *text != '\0' && status == 0; skip_commas(&text))
        status = challenges.count == CHALLENGES_MAX
                     ? -EINVAL
                     : take_challenge(&text, &challenges.list[challenges.count++]);
    if (status < 0) {
        registry_challenges_done(&challenges);
        return status;
    }
    *ret_challenges = challenges;
    return 0;
}

void registry_challenge_done(struct challenge *challenge)
{
    free(challenge->realm);
    free(challenge->service);
    free(challenge->scope);
    free(challenge->error);
    *challenge = (struct challenge){0};
}

void registry_challenges_done(struct challenges *challenges)
{
    if (challenges == NULL)
        return;
    for (size_t i = 0; i < challenges->count; i++)
        registry_challenge_done(&challenges->list[i]);
    challenges->count = 0;
}
