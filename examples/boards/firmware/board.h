/* What a board is, and what it must bring: change the constants, and write the functions as
 * simulated.c does. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

#define NAME "firmware in C, simulated"
enum {
    ROWS = 16,      /* word lines */
    COLS = 16,      /* bit lines */
    MAX_CELLS = 64, /* devices of a request; buffers take 36 bytes of memory for each */
};
#define OFF_SIEMENS 1e-6 /* conductances of a typical device */
#define ON_SIEMENS 1e-4
#define READ_V 0.1
#define PULSE_V 1.0 /* largest amplitude, and the one of pulses that name none */
#define PULSE_S 1e-6

/* Conductance of a device in siemens; NAN: it cannot be read. */
double board_read(unsigned row, unsigned col);

/* Pulse a device; count above 0: up, below 0: down. Returns 0 if that failed. */
int board_pulse(unsigned row, unsigned col, int count, double volts, double width_s);

double board_celsius(void);

/* Seconds since the start. */
double board_seconds(void);

/* 8 bytes that are others after each start: of a counter in flash memory, or of noise. */
void board_boot(uint8_t boot[8]);

/* The next byte of the line, or LINE_SILENT if none comes within a second, or LINE_ENDS. */
enum { LINE_ENDS = -1, LINE_SILENT = -2 };
int line_in(void);

void line_out(const uint8_t *data, size_t size);

/* Answer until the line ends. */
void board_serve(void);

#endif
