/* SPDX-License-Identifier: MIT
 * An NSS module (nss(5), passwd: many) for the tests: tens of thousands of accounts, each found in
 * the same short time. A name is one of KINDS and a number of five digits; c00042 is the account with
 * the uid 30042, whose home is /home/many/c/00042.
 */
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS "bcde"
#define FIRST 10000 /* the first kind's first uid; each kind has as many */

enum nss_status _nss_many_getpwnam_r(const char *name, struct passwd *account, char *buffer,
                                     size_t size, int *error)
{
    const char *kind = *name ? strchr(KINDS, *name) : NULL;
    int used;

    if (!kind || strlen(name) != 6 || strspn(name + 1, "0123456789") != 5 || name[1] != '0') {
        *error = ENOENT;
        return NSS_STATUS_NOTFOUND;
    }
    used = snprintf(buffer, size, "%s%c*%c/bin/sh%c/home/many/%c/%s", name, 0, 0, 0, *name, name + 1);
    if (used < 0 || (size_t)used >= size) {
        *error = ERANGE;
        return NSS_STATUS_TRYAGAIN;
    }
    account->pw_name = buffer;
    account->pw_passwd = buffer + 7;
    account->pw_gecos = buffer + 8; /* empty */
    account->pw_shell = buffer + 9;
    account->pw_dir = buffer + 17;
    account->pw_uid = account->pw_gid = FIRST * (1 + (kind - KINDS)) + atoi(name + 1);
    return NSS_STATUS_SUCCESS;
}
