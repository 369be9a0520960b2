/* joule doctor: this machine, or a model file on it. */
#include <stdio.h>

#include "joule/joule.h"
#include "opt.h"
#include "paths.h"

static void print_machine(void)
{
    static char text[8192];
    const char *bundled = path_bundled();

    jl_describe_machine(text, sizeof text);
    fputs(text, stdout);
    printf("bundled model: %s\n", bundled ? bundled : "missing");
}

int cmd_doctor(const opts *o)
{
    (void)o;
    print_machine();
    return EXIT_OK;
}
