/* SPDX-License-Identifier: MIT */
#include <pgq/status.h>
#include <pgq/version.h>

const char *pgq_status_name(pgq_status status)
{
    switch ((int)status) {
#define NAME_CASE(name, value, sqlstate, text)                                                               \
    case value:                                                                                              \
        return #name;
        PGQ_STATUS_MAP(NAME_CASE)
#undef NAME_CASE
    default:
        return "UNKNOWN";
    }
}

const char *pgq_status_text(pgq_status status)
{
    switch ((int)status) {
#define TEXT_CASE(name, value, sqlstate, text)                                                               \
    case value:                                                                                              \
        return text;
        PGQ_STATUS_MAP(TEXT_CASE)
#undef TEXT_CASE
    default:
        return "unknown status";
    }
}

int pgq_version_number(void)
{
    return PGQ_VERSION_NUMBER;
}

const char *pgq_version_string(void)
{
    return PGQ_VERSION_STRING;
}
