/* The reading loop of the roofline, over a vector type of the including file: READ_VEC,
 * READ_ADD(acc, address). A stream is a page of 4 KiB; `streams` of them are read side by side. */
#define READ_INLINE static inline __attribute__((always_inline))

enum { READ_PAGE = 4096, READ_TURN = 256 /* bytes of one stream before the next one's turn */ };

READ_INLINE void read_turn(const uint8_t *p, size_t ahead, READ_VEC acc[4])
{
    enum { WIDTH = sizeof(READ_VEC) };

#pragma GCC unroll 16
    for (size_t i = 0; i < READ_TURN / WIDTH; i++) {
        if (ahead && i * WIDTH % 64 == 0)
            __builtin_prefetch(p + ahead + i * WIDTH);
        acc[i % 4] = READ_ADD(acc[i % 4], p + i * WIDTH);
    }
}

READ_INLINE void read_streams(const uint8_t *p, size_t n, size_t streams, size_t ahead,
                              READ_VEC acc[4])
{
    for (size_t at = 0; at < n; at += streams * READ_PAGE)
        for (size_t off = 0; off < READ_PAGE; off += READ_TURN)
#pragma GCC unroll 16
            for (size_t s = 0; s < streams; s++)
                read_turn(p + at + s * READ_PAGE + off, ahead, acc);
}

READ_INLINE void read_all(const uint8_t *p, size_t n, size_t streams, size_t ahead, READ_VEC acc[4])
{
    switch (streams) {
    case 16: read_streams(p, n, 16, ahead, acc); break;
    case 8: read_streams(p, n, 8, ahead, acc); break;
    case 4: read_streams(p, n, 4, ahead, acc); break;
    case 2: read_streams(p, n, 2, ahead, acc); break;
    default: read_streams(p, n, 1, ahead, acc); break;
    }
}
