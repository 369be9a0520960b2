#include "curve.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "joule/sys.h"
#include "load.h"
#include "svg.h"

static const char head[] = "series,name,bytes,kl_mean,kl_mean_error,kl_p99,top1\n";

typedef struct {
    curve_point *p; /* [CURVE_MAX_POINTS] */
    size_t n;
} points;

static jl_status read_line(char *line, size_t number, points *out, jl_error *err)
{
    curve_point p = {0};
    const size_t n_series = strcspn(line, ",");
    char *rest = line + n_series + (line[n_series] == ',');

    snprintf(p.series, sizeof p.series, "%.*s", (int)n_series, line);
    if (sscanf(rest, "%79[^,],%" SCNu64 ",%lf,%lf,%lf,%lf", p.name, &p.bytes, &p.kl, &p.kl_error,
               &p.kl_p99, &p.top1) != 6 ||
        p.bytes == 0 || !isfinite(p.kl))
        return tool_error(err, JL_FORMAT,
                          "line %zu of the points is not series,name,bytes,kl_mean,kl_mean_error,"
                          "kl_p99,top1",
                          number);
    if (out->n == CURVE_MAX_POINTS)
        return tool_error(err, JL_TOO_LARGE, "more than %d points", CURVE_MAX_POINTS);
    out->p[out->n++] = p;
    return JL_OK;
}

static jl_status read_points(const char *path, points *out, jl_error *err)
{
    char *text = NULL;
    size_t len = 0;
    size_t number = 0;

    *out = (points){jl_malloc(CURVE_MAX_POINTS * sizeof *out->p), 0};
    if (!out->p)
        return tool_error(err, JL_NO_MEMORY, "out of memory");
    if (access(path, F_OK) != 0)
        return JL_OK;
    jl_status s = jl_file_read(path, 1 << 20, &text, &len, err);
    for (char *line = text; s == JL_OK && line < text + len;) {
        const size_t n = strcspn(line, "\n");
        char *next = line + n + 1;
        line[n] = '\0';
        if (++number > 1 && *line)
            s = read_line(line, number, out, err);
        line = next;
    }
    jl_free(text);
    return s;
}

static jl_status write_points(const char *path, const points *all, jl_error *err)
{
    jl_writer *w = NULL;

    jl_status s = jl_writer_create(path, &w, err);
    if (s != JL_OK)
        return s;
    s = svg_put(w, err, "%s", head);
    for (size_t i = 0; s == JL_OK && i < all->n; i++) {
        const curve_point *p = &all->p[i];
        s = svg_put(w, err, "%s,%s,%" PRIu64 ",%.6g,%.3g,%.6g,%.6g\n", p->series, p->name, p->bytes,
                    p->kl, p->kl_error, p->kl_p99, p->top1);
    }
    return svg_end(w, s, err);
}

jl_status curve_add(const char *path, const curve_point *p, jl_error *err)
{
    points all;
    size_t i = 0;

    jl_status s = read_points(path, &all, err);
    while (s == JL_OK && i < all.n &&
           (strcmp(all.p[i].name, p->name) != 0 || strcmp(all.p[i].series, p->series) != 0))
        i++;
    if (s == JL_OK && i == CURVE_MAX_POINTS)
        s = tool_error(err, JL_TOO_LARGE, "more than %d points", CURVE_MAX_POINTS);
    if (s == JL_OK) {
        all.p[i] = *p;
        all.n = i == all.n ? i + 1 : all.n;
        s = write_points(path, &all, err);
    }
    jl_free(all.p);
    return s;
}

/* ---- the picture ---------------------------------------------------------------------------- */

enum { WIDTH = 800, HEIGHT = 460, LEFT = 70, RIGHT = 780, TOP = 40, BOTTOM = 410 };

typedef struct {
    double low, high;   /* bytes */
    double floor, roof; /* log10 of the divergence, whole */
} frame;

static double log_kl(const curve_point *p)
{
    return log10(p->kl > 1e-9 ? p->kl : 1e-9);
}

static frame frame_of(const points *all)
{
    frame f = {INFINITY, 0, INFINITY, -INFINITY};

    for (size_t i = 0; i < all->n; i++) {
        f.low = fmin(f.low, (double)all->p[i].bytes);
        f.high = fmax(f.high, (double)all->p[i].bytes);
        f.floor = fmin(f.floor, floor(log_kl(&all->p[i])));
        f.roof = fmax(f.roof, ceil(log_kl(&all->p[i])));
    }
    const double room = 0.06 * (f.high - f.low) + 0.01 * f.high;
    f.low -= room;
    f.high += room;
    f.roof = fmax(f.roof, f.floor + 1);
    return f;
}

static double x_of(const frame *f, const curve_point *p)
{
    return LEFT + (RIGHT - LEFT) * ((double)p->bytes - f->low) / (f->high - f->low);
}

static double y_of(const frame *f, const curve_point *p)
{
    return BOTTOM - (BOTTOM - TOP) * (log_kl(p) - f->floor) / (f->roof - f->floor);
}

static jl_status put_axes(jl_writer *w, const frame *f, jl_error *err)
{
    jl_status s = svg_put(w, err,
                          "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
                          "font-family=\"sans-serif\" font-size=\"11\">\n"
                          "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n"
                          "<text x=\"%d\" y=\"20\">KL mean, nats</text>\n",
                          WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    for (double e = f->floor; s == JL_OK && e <= f->roof; e++) {
        const double y = BOTTOM - (BOTTOM - TOP) * (e - f->floor) / (f->roof - f->floor);
        s = svg_put(w, err,
                    "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
                    "text-anchor=\"end\">%g</text>\n",
                    LEFT, y, RIGHT, LEFT - 6, y + 4, pow(10, e));
    }
    for (int i = 0; s == JL_OK && i <= 5; i++) {
        const double x = LEFT + (RIGHT - LEFT) * i / 5.0;
        const double unit = f->high < 1e9 ? 1e6 : 1e9;
        s = svg_put(w, err,
                    "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g %s</text>\n", x,
                    BOTTOM + 20, (f->low + (f->high - f->low) * i / 5) / unit,
                    f->high < 1e9 ? "MB" : "GB");
    }
    return s;
}

static int by_series(const void *a, const void *b)
{
    const curve_point *p = a;
    const curve_point *q = b;
    const int order = strcmp(p->series, q->series);

    return order ? order : (p->bytes > q->bytes) - (p->bytes < q->bytes);
}

static jl_status put_point(jl_writer *w, const frame *f, const curve_point *p, const char *color,
                           jl_error *err)
{
    char name[100];

    svg_escape(p->name, name, sizeof name);
    return svg_put(w, err,
                   "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/><text x=\"%.1f\" "
                   "y=\"%.1f\" fill=\"%s\">%s</text>\n",
                   x_of(f, p), y_of(f, p), color, x_of(f, p) + 5, y_of(f, p) - 4, color, name);
}

/* Points are in the order of their series. */
static jl_status put_points(jl_writer *w, const frame *f, const points *all, jl_error *err)
{
    static const char *const colors[] = {"#c30", "#06c", "#083", "#a0a", "#850"};
    size_t color = SIZE_MAX;
    jl_status s = JL_OK;

    for (size_t i = 0; s == JL_OK && i < all->n; i++) {
        const curve_point *p = &all->p[i];
        const bool same = i > 0 && strcmp(p->series, all->p[i - 1].series) == 0;
        color += !same;
        const char *ink = *p->series ? colors[color % 5] : "#444";
        if (same && *p->series)
            s = svg_put(w, err, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"%s\"/>\n",
                        x_of(f, p - 1), y_of(f, p - 1), x_of(f, p), y_of(f, p), ink);
        if (s == JL_OK)
            s = put_point(w, f, p, ink, err);
    }
    return s;
}

jl_status curve_draw(const char *path, const char *svg_path, jl_error *err)
{
    points all;
    jl_writer *w = NULL;

    jl_status s = read_points(path, &all, err);
    if (s == JL_OK && all.n == 0)
        s = tool_error(err, JL_INVALID, "%.200s has no points to draw", path);
    if (s == JL_OK)
        s = jl_writer_create(svg_path, &w, err);
    if (s == JL_OK) {
        qsort(all.p, all.n, sizeof *all.p, by_series);
        const frame f = frame_of(&all);
        s = put_axes(w, &f, err);
        if (s == JL_OK)
            s = put_points(w, &f, &all, err);
        if (s == JL_OK)
            s = svg_put(w, err, "</svg>\n");
        s = svg_end(w, s, err);
    }
    jl_free(all.p);
    return s;
}
