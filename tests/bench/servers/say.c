/* SPDX-License-Identifier: MIT
 *
 * Prints the answer of this benchmark: what the process-a-query servers run instead of finger(1),
 * since all are measured on the same answer.  Less work than finger(1) has.
 */
#include <unistd.h>

int main(void) { return write(1, "Happy and well\r\n", 16) != 16; }
