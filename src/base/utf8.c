/* UTF-8 decoding by the table of well-formed byte sequences (Unicode 15, table 3-7). */
#include "base/utf8.h"

/* Length announced by a lead byte and the range of the second byte; 0 for bytes that lead nothing.
 */
static size_t lead(unsigned char c, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xbf;
    if (c < 0x80)
        return 1;
    if (c < 0xc2)
        return 0;
    if (c < 0xe0)
        return 2;
    if (c < 0xf0) {
        if (c == 0xe0)
            *lo = 0xa0; /* overlong */
        if (c == 0xed)
            *hi = 0x9f; /* surrogates */
        return 3;
    }
    if (c > 0xf4)
        return 0;
    if (c == 0xf0)
        *lo = 0x90; /* overlong */
    if (c == 0xf4)
        *hi = 0x8f; /* above U+10FFFF */
    return 4;
}

/* Bytes at s that agree with a sequence of *n bytes: *n when it is whole and valid. */
static size_t match(const char *s, size_t len, size_t *n)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned char lo;
    unsigned char hi;
    *n = len ? lead(p[0], &lo, &hi) : 0;
    if (*n == 0)
        return 0;
    size_t i = 1;
    while (i < *n && i < len && p[i] >= lo && p[i] <= hi) {
        lo = 0x80;
        hi = 0xbf;
        i++;
    }
    return i;
}

size_t jl_utf8_len(const char *s, size_t len)
{
    size_t n;
    return match(s, len, &n) == n ? n : 0;
}

size_t jl_utf8_decode(const char *s, size_t len, uint32_t *cp)
{
    static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const size_t n = jl_utf8_len(s, len);
    if (n == 0)
        return 0;
    uint32_t value = (unsigned char)s[0] & lead_bits[n];
    for (size_t i = 1; i < n; i++)
        value = value << 6 | ((unsigned char)s[i] & 0x3f);
    *cp = value;
    return n;
}

static char tail(uint32_t cp, unsigned shift)
{
    return (char)(0x80 | (cp >> shift & 0x3f));
}

size_t jl_utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = tail(cp, 0);
        return 2;
    }
    if (cp >= 0xd800 && cp < 0xe000)
        return 0;
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = tail(cp, 6);
        out[2] = tail(cp, 0);
        return 3;
    }
    if (cp > 0x10ffff)
        return 0;
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = tail(cp, 12);
    out[2] = tail(cp, 6);
    out[3] = tail(cp, 0);
    return 4;
}

size_t jl_utf8_incomplete(const char *s, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        size_t n;
        if (match(s + len - back, back, &n) == back && n > back)
            return back;
    }
    return 0;
}
