/* Power over time as an SVG picture. */
#include <math.h>
#include <stdio.h>

#include "joule/sys.h"
#include "load.h"
#include "power_cli.h"
#include "svg.h"

enum { WIDTH = 800, HEIGHT = 300, LEFT = 60, BOTTOM = 260, TOP = 30, RIGHT = 780 };

/* A round number of watts at or above the highest sample. */
static double scale_of(const jl_power_sample *s, size_t n)
{
    double most = 0.1;

    for (size_t i = 0; i < n; i++)
        if (s[i].watts > most)
            most = s[i].watts;
    const double unit = pow(10.0, floor(log10(most)));
    const double steps[] = {1.0, 2.0, 5.0, 10.0};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i] * unit >= most)
            return steps[i] * unit;
    return 10.0 * unit;
}

static jl_status axes(jl_writer *w, double top, double span, const char *meter, jl_error *err)
{
    char name[120];

    svg_escape(meter, name, sizeof name);
    jl_status s = svg_put(w, err,
                      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                      "font-family=\"sans-serif\" font-size=\"12\">\n"
                      "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n"
                      "<text x=\"%d\" y=\"18\">watts, %s</text>\n",
                      WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT, name);
    for (int i = 0; s == JL_OK && i <= 4; i++) {
        const double y = BOTTOM - (BOTTOM - TOP) * i / 4.0;
        const double x = LEFT + (RIGHT - LEFT) * i / 4.0;
        s = svg_put(w, err,
                "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%.3g</text><text x=\"%.1f\" y=\"%d\" "
                "text-anchor=\"middle\">%.3g s</text>\n",
                LEFT, y, RIGHT, LEFT - 6, y + 4, top * i / 4.0, x, BOTTOM + 18, span * i / 4.0);
    }
    return s;
}

jl_status power_write_svg(const char *path, const jl_power_sample *samples, size_t n,
                          const char *meter, jl_error *err)
{
    jl_writer *w = NULL;
    const double top = scale_of(samples, n);
    const double start = samples[0].t_s;
    const double span = samples[n - 1].t_s - start > 0.001 ? samples[n - 1].t_s - start : 0.001;
    bool open = false;

    jl_status s = jl_writer_create(path, &w, err);
    if (s != JL_OK)
        return s;
    s = axes(w, top, span, meter, err);
    if (s == JL_OK)
        s = svg_put(w, err, "<path fill=\"none\" stroke=\"#c60\" stroke-width=\"1.5\" d=\"");
    for (size_t i = 0; s == JL_OK && i < n; i++) {
        if (isnan(samples[i].watts)) {
            open = false; /* a gap where nothing was measured */
            continue;
        }
        s = svg_put(w, err, "%c%.1f %.1f", open ? 'L' : 'M',
                LEFT + (RIGHT - LEFT) * (samples[i].t_s - start) / span,
                BOTTOM - (BOTTOM - TOP) * samples[i].watts / top);
        open = true;
    }
    if (s == JL_OK)
        s = svg_put(w, err, "\"/>\n</svg>\n");
    return svg_end(w, s, err);
}
