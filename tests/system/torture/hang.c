/* SPDX-License-Identifier: MIT
 * What the tests make hang, or jump, under the service: an NSS module (nss(5), passwd: hang), which
 * knows nobody, and the wall clock of a process where this is preloaded (ld.so(8)).
 */
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TEN_YEARS 315576000 /* seconds */

enum nss_status _nss_hang_getpwnam_r(const char *name, struct passwd *account, char *buffer,
                                     size_t size, int *error)
{
    (void)name, (void)account, (void)buffer, (void)size;
    while (access("/run/hang", F_OK) == 0)
        usleep(10000);
    *error = ENOENT;
    return NSS_STATUS_NOTFOUND;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);

    if (!failed && clock == CLOCK_REALTIME) {
        if (access("/run/later", F_OK) == 0)
            now->tv_sec += TEN_YEARS;
        if (access("/run/earlier", F_OK) == 0)
            now->tv_sec -= TEN_YEARS;
    }
    return failed;
}
