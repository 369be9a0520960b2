/* Runs a fuzz target over files and folders of files: the corpus as a regression test, and any
 * finding under a debugger. Each input is also run cut at a third and at two thirds. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static size_t n_runs;

/* From a block of exactly the right size, so that a sanitizer sees any byte read beyond it. */
static void run(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    n_runs++;
}

static int run_file(const char *path)
{
    static uint8_t data[4 << 20];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    const size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    run(data, n);
    run(data, n / 3);
    run(data, n - n / 3);
    return 0;
}

static int run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        return 1;
    }
    if (!S_ISDIR(st.st_mode))
        return run_file(path);
    int bad = 0;
    struct dirent **entries;
    const int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char file[1024];
        snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            bad |= run_file(file);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    return bad || n < 0;
}

int main(int argc, char **argv)
{
    int bad = 0;
    for (int i = 1; i < argc; i++)
        bad |= run_path(argv[i]);
    printf("%zu inputs\n", n_runs);
    return bad || n_runs == 0;
}
