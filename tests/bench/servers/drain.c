/* SPDX-License-Identifier: MIT
 *
 * A stand-in for journald: reads the datagrams that come to the socket PATH and counts them.
 *
 *   drain PATH      prints "ready"; then, at each datagram of just "?", the count so far
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    if (argc < 2 || strlen(argv[1]) >= sizeof name.sun_path) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);  /* never outlives the benchmark */
    strcpy(name.sun_path, argv[1]);
    unlink(argv[1]);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0), size = 8 << 20;
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof name)) { perror(argv[1]); return 1; }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    printf("ready\n"), fflush(stdout);
    static char buffer[1 << 16];
    ssize_t got;
    for (long count = 0; (got = recv(fd, buffer, sizeof buffer, 0)) >= 0;) {
        if (got == 1 && buffer[0] == '?') printf("%ld\n", count), fflush(stdout);
        else count++;
    }
    return 1;
}
