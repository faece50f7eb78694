/* SPDX-License-Identifier: MIT */
/* The installer script, made from sql/ at build time; ended by a zero byte. */
#ifndef PGQI_INSTALL_SQL_H
#define PGQI_INSTALL_SQL_H

extern const int pgqi_schema_version;
/* Of the functions alone, as the namespace keeps it. */
extern const char pgqi_functions_digest[];
extern const unsigned char pgqi_install_sql[];

#endif
