/* SPDX-License-Identifier: MIT
 *
 * A service unit with Accept=yes in small: a process for every connection.
 *
 *   inetd PROGRAM [ARGUMENT ...]      the listening socket is descriptor 3
 *
 * The connection is the child's standard input, output and error.  At most 64 children at once,
 * systemd's own default.  It adopts and waits for its children's children too, so that its
 * children's processor time is the whole cost of the queries.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LISTENER = 3, MAX_CHILDREN = 64 };

static pid_t children[MAX_CHILDREN];

static void woken(int number) { (void)number; }

static void reap(void) {
    for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;)
        for (int i = 0; i < MAX_CHILDREN; i++)
            if (children[i] == pid) children[i] = 0;
}

static pid_t *vacancy(void) {
    for (int i = 0; i < MAX_CHILDREN; i++)
        if (!children[i]) return children + i;
    return NULL;
}

static pid_t serve(int fd, char **argv, const sigset_t *mask) {
    pid_t pid = fork();
    if (pid) return pid < 0 ? 0 : pid;
    sigprocmask(SIG_SETMASK, mask, NULL);
    dup2(fd, 0), dup2(fd, 1), dup2(fd, 2);
    execv(argv[1], argv + 1);
    _exit(127);
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = woken};
    struct pollfd listener = {.fd = LISTENER, .events = POLLIN};
    sigset_t child, before;
    if (argc < 2) return 2;
    sigemptyset(&child), sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    sigaction(SIGCHLD, &action, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    fcntl(LISTENER, F_SETFD, FD_CLOEXEC);
    fcntl(LISTENER, F_SETFL, fcntl(LISTENER, F_GETFL) | O_NONBLOCK);
    for (;;) {
        pid_t *place = vacancy();
        ppoll(&listener, place ? 1 : 0, NULL, &before);
        reap();
        if (!place && !(place = vacancy())) continue;
        int fd = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        *place = serve(fd, argv, &before);
        close(fd);
    }
}
