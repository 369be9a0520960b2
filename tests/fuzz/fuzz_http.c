/* Bytes on a connection to the server: request lines, headers, framing, several requests in a
 * row, clients that leave. */
#include <string.h>

#include "served.h"

static void must_live(void)
{
    static const char ask[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n"
                              "Connection: close\r\n\r\n";
    served_reply r = served_exchange(ask, sizeof ask - 1, true);
    served_check(&r);
    fuzz_require(strncmp(r.text, "HTTP/1.1 200", 12) == 0);
    free(r.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static unsigned count;
    if (n < 1 || n > 16384)
        return 0;
    served_reply r = served_exchange((const char *)data, n, false);
    fuzz_require(r.len == 0 || strncmp(r.text, "HTTP/", 5) == 0);
    free(r.text);
    if (++count % 16 == 0)
        must_live();
    return 0;
}
