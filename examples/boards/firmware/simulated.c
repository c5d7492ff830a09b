/* The board of a PC: an array of simulated devices behind stdin and stdout, or behind a device
 * that is given as argument, for example one of a pair that socat makes.
 *
 *     cc -std=c99 -O2 -Wall -Wextra -o board board.c simulated.c -lm
 *     ./board /dev/pts/3      (before: stty -F /dev/pts/3 raw -echo)
 */
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "board.h"

static double moved[ROWS][COLS]; /* of each device: from 0, off, to 1, on */
static int in = STDIN_FILENO, out = STDOUT_FILENO;
static time_t began;

double board_read(unsigned row, unsigned col)
{
    return OFF_SIEMENS + moved[row][col] * (ON_SIEMENS - OFF_SIEMENS);
}

int board_pulse(unsigned row, unsigned col, int count, double volts, double width_s)
{
    double step = fmin(1, 0.02 * volts / PULSE_V * width_s / PULSE_S);
    double *at = &moved[row][col];
    for (; count > 0; count--)
        *at += step * (1 - *at);
    for (; count < 0; count++)
        *at -= step * *at;
    return 1;
}

double board_celsius(void) { return 25; }

double board_seconds(void) { return difftime(time(NULL), began); }

void board_boot(uint8_t boot[8])
{
    uint64_t start = (uint64_t)began * 1000003u ^ (uint64_t)(uintptr_t)&start;
    memcpy(boot, &start, 8);
}

int line_in(void)
{
    uint8_t byte;
    struct pollfd line = {in, POLLIN, 0};
    if (poll(&line, 1, 1000) == 0)
        return LINE_SILENT;
    return read(in, &byte, 1) == 1 ? byte : LINE_ENDS;
}

void line_out(const uint8_t *data, size_t size)
{
    for (ssize_t sent; size && (sent = write(out, data, size)) > 0; data += sent)
        size -= (size_t)sent;
}

int main(int argc, char **argv)
{
    if (argc > 1 && (in = out = open(argv[1], O_RDWR | O_NOCTTY)) < 0) {
        perror(argv[1]);
        return 2;
    }
    began = time(NULL);
    board_serve();
    return 0;
}
