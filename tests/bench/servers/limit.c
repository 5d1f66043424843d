/* SPDX-License-Identifier: MIT
 *
 * The limit: the least that is still a correct finger server, in C.
 *
 *   limit [more] [log] [NAMES]      the listening socket is descriptor 3, as systemd passes it
 *
 * epoll; accepts in batches; reads at once; knows one user, or those in the file NAMES, one a line,
 * by a hash table; answers, shuts down and closes.
 * `more`: MSG_MORE and then shutdown, so that the answer and the end leave in one segment.
 * `log`: an entry for each query to journald, always the same.
 * No deadline, no cap, no log: what those cost is what the others are measured for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTENER = 3, BATCH = 64, LINE = 1024, EVENTS = 512 };

struct slow { size_t size; char line[LINE]; };  /* a client whose line has not come whole */

static const char HAPPY[] = "Happy and well\r\n", NOBODY[] = "No such user\r\n";
static struct slow *slow[1 << 16];
static const char ENTRY[] =
    "MESSAGE=moshez from 127.0.0.1: found\nMESSAGE_ID=ac100d73c1444ca5ae881e435305c6ea\n"
    "PRIORITY=6\nSYSLOG_IDENTIFIER=fingerd-sd\nFINGER_QUERY=moshez\nFINGER_CLIENT=127.0.0.1\n"
    "FINGER_AUDIENCE=everyone\nFINGER_RESULT=found\nFINGER_SOURCE=static\nFINGER_BYTES=16\n"
    "FINGER_USEC=9\n";
static int epfd, more, journal = -1;
static struct { const char *name; size_t size; } *table;   /* open addressing */
static size_t slots;                                       /* a power of 2, twice the names */

/* The slot that `name` has, or would have. */
static size_t slot(const char *name, size_t size) {
    uint64_t hash = 14695981039346656037u;                 /* FNV-1a */
    for (size_t i = 0; i < size; i++) hash = (hash ^ (unsigned char)name[i]) * 1099511628211u;
    size_t at = (hash ^ hash >> 32) & (slots - 1);
    while (table[at].name && (table[at].size != size || memcmp(table[at].name, name, size)))
        at = (at + 1) & (slots - 1);
    return at;
}

static void learn(const char *file) {
    FILE *f = fopen(file, "r");
    char *line = NULL;
    size_t room = 0, names = 0;
    ssize_t n;
    if (!f) exit(1);
    while (getline(&line, &room, f) > 0) names++;
    for (slots = 2; slots < 2 * names; slots *= 2) {}
    if (!(table = calloc(slots, sizeof *table))) exit(1);
    for (rewind(f); (n = getline(&line, &room, f)) > 0;) {
        size_t size = (size_t)n - (line[n - 1] == '\n'), at = slot(line, size);
        table[at].name = strndup(line, size), table[at].size = size;
    }
    fclose(f), free(line);
}

/* The answer for the line in `s`, or nothing if it is not whole yet. */
static const char *answer(const char *s, size_t size) {
    const char *end = memchr(s, '\n', size);
    if (!end) return size == LINE ? NOBODY : NULL;
    if (end > s && end[-1] == '\r') end--;
    if (table) return table[slot(s, (size_t)(end - s))].name ? HAPPY : NOBODY;
    return end - s == 6 && !memcmp(s, "moshez", 6) ? HAPPY : NOBODY;
}

static void reply(int fd, const char *text) {
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    shutdown(fd, SHUT_WR);
    close(fd);
    if (journal >= 0) (void)!send(journal, ENTRY, sizeof ENTRY - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int journald(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) exit(1);
    return fd;
}

static void newcomer(int fd) {
    char line[LINE];
    ssize_t n = recv(fd, line, sizeof line, 0);
    const char *text = n > 0 ? answer(line, (size_t)n) : NULL;
    if (text) { reply(fd, text); return; }
    if (n == 0 || (n < 0 && errno != EAGAIN) || !(slow[fd] = malloc(sizeof **slow))) {
        close(fd);
        return;
    }
    slow[fd]->size = n > 0 ? (size_t)n : 0;
    memcpy(slow[fd]->line, line, slow[fd]->size);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
}

static void more_of(int fd) {
    struct slow *s = slow[fd];
    ssize_t n = recv(fd, s->line + s->size, LINE - s->size, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n > 0) s->size += (size_t)n;
    const char *text = n > 0 ? answer(s->line, s->size) : NULL;
    if (n > 0 && !text) return;
    free(s), slow[fd] = NULL;
    if (text) reply(fd, text);
    else close(fd);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "more")) more = 1, argc--, argv++;
    if (argc > 1 && !strcmp(argv[1], "log")) journal = journald(), argc--, argv++;
    if (argc > 1) learn(argv[1]);
    fcntl(LISTENER, F_SETFL, fcntl(LISTENER, F_GETFL) | O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = LISTENER}, events[EVENTS];
    epfd = epoll_create1(EPOLL_CLOEXEC);
    if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, LISTENER, &e)) return 1;
    for (;;) {
        int n = epoll_wait(epfd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != LISTENER) { more_of(events[i].data.fd); continue; }
            for (int k = 0; k < BATCH; k++) {
                int fd = accept4(LISTENER, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0) break;
                newcomer(fd);
            }
        }
    }
}
