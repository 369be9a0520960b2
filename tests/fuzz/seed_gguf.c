/* Writes the seed corpus of fuzz_gguf into a folder: small files, each with another part of the
 * format. */
#include "fuzz.h"
#include "gguf_image.h"

static void save(const char *folder, const char *name, const gguf_image *m)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(m->data, 1, m->len, f) != m->len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

static void types(gguf_image *m)
{
    /* One row of 256 weights of every type, in the order of the ids: bytes per 256 weights. */
    static const struct {
        uint32_t id, n_bytes;
    } rows[] = {{0, 1024}, {1, 512},  {2, 144},  {3, 160},  {6, 176},  {7, 192},  {8, 272},
                {10, 84},  {11, 110}, {12, 144}, {13, 176}, {14, 210}, {16, 66},  {17, 74},
                {18, 98},  {19, 50},  {20, 144}, {21, 110}, {22, 82},  {23, 136}, {24, 256},
                {25, 512}, {26, 1024}, {27, 2048}, {28, 2048}, {29, 56}, {30, 512}, {39, 136}};
    enum { N = sizeof rows / sizeof *rows };
    uint64_t offset = 0;
    image_begin(m, 3, N, 0);
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", rows[i].id);
        image_tensor(m, name, 1, (const uint64_t[]){256}, rows[i].id, offset);
        offset += (rows[i].n_bytes + 31) / 32 * 32;
    }
    image_align(m, 32);
    for (uint64_t i = 0; i < offset; i++)
        image_le(m, 0, 1);
}

int main(int argc, char **argv)
{
    static gguf_image m;
    if (argc != 2) {
        fprintf(stderr, "usage: seed_gguf FOLDER\n");
        return 2;
    }
    image_full(&m, 3);
    save(argv[1], "full-v3", &m);
    image_full(&m, 2);
    save(argv[1], "full-v2", &m);
    types(&m);
    save(argv[1], "types", &m);
    image_begin(&m, 3, 0, 0);
    save(argv[1], "empty", &m);
    image_begin(&m, 3, 0, 4);
    image_kv(&m, "split.no", 2, 0, 2);
    image_kv(&m, "split.count", 2, 1, 2);
    image_kv(&m, "split.tensors.count", 5, 0, 4);
    image_kv(&m, "general.alignment", 4, 64, 4);
    save(argv[1], "split", &m);
    image_begin(&m, 3, 0, 1);
    image_kv_array(&m, "nested", 9, 1);
    save(argv[1], "nested", &m);
    image_begin(&m, 0x03000000, 0, 0);
    save(argv[1], "big-endian", &m);
    return 0;
}
