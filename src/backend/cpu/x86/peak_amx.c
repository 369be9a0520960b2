/* tdpbssd with all operands in tiles: four sums of 16 x 16 from two tiles of rows and two of
 * columns, each 64 bytes deep. */
#include <immintrin.h>
#include <string.h>

#include "backend/cpu/x86/x86.h"

enum { N_SUMS = 4, ROWS = 16, DEPTH = 64 };

/* Operand of ldtilecfg (Intel SDM, volume 2A). */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16];
    uint8_t rows[16];
} tile_config;

uint64_t jl_x86_int8_peak_amx(uint64_t n, int64_t *sum)
{
    _Alignas(64) tile_config config = {.palette = 1};
    _Alignas(64) int8_t ones[ROWS * DEPTH];
    _Alignas(64) int32_t sums[N_SUMS][ROWS * 16];

    for (int i = 0; i < 8; i++) {
        config.colsb[i] = DEPTH;
        config.rows[i] = ROWS;
    }
    memset(ones, 1, sizeof ones);
    _tile_loadconfig(&config);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_loadd(4, ones, DEPTH);
    _tile_loadd(5, ones, DEPTH);
    _tile_loadd(6, ones, DEPTH);
    _tile_loadd(7, ones, DEPTH);
    for (uint64_t r = 0; r < n; r++) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
    _tile_release();
    *sum = 0;
    for (int i = 0; i < N_SUMS; i++)
        for (int j = 0; j < ROWS * 16; j++)
            *sum += sums[i][j];
    return n * N_SUMS * ROWS * 16 * DEPTH * 2;
}
