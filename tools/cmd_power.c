/* joule power: what can be measured here, and watts as they are. */
#include <math.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "joule/sys.h"
#include "load.h"
#include "opt.h"
#include "power_cli.h"
#include "ui.h"

enum { MAX_SAMPLES = 1 << 16, METRICS_BYTES = 1 << 16 };

typedef struct {
    const opts *o;
    jl_power *power;
    jl_writer *log;
    jl_power_sample *samples; /* of the SVG; every second one is dropped when it is full */
    size_t n_samples, stride, n_seen;
    double tokens, joules; /* of a server, at the sample before; NAN: none */
} watch;

/* ---- a server's counters ---------------------------------------------------------------- */

static double metric(const char *text, const char *name)
{
    const size_t n = strlen(name);

    for (const char *s = strstr(text, name); s; s = strstr(s + 1, name))
        if ((s == text || s[-1] == '\n') && s[n] == ' ')
            return strtod(s + n + 1, NULL);
    return NAN;
}

/* Tokens that a joule server on this machine has generated so far; NAN: there is none. */
static double server_tokens(int port)
{
    static char text[METRICS_BYTES];
    static const char request[] = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval wait = {.tv_usec = 200000};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t n = 0;

    if (fd < 0)
        return NAN;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1) {
        for (ssize_t got = 1; got > 0 && n<sizeof text - 1; n += got> 0 ? (size_t)got : 0)
            got = recv(fd, text + n, sizeof text - 1 - n, 0);
    }
    close(fd);
    text[n] = '\0';
    return metric(text, "joule_tokens_generated_total");
}

/* ---- meters ----------------------------------------------------------------------------- */

static void print_number(const char *name, double v, const char *end)
{
    if (isfinite(v))
        printf("\"%s\": %.6g%s", name, v, end);
    else
        printf("\"%s\": null%s", name, end);
}

/* Text as a JSON string. */
static void print_text(const char *s)
{
    putchar('"');
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else if ((unsigned char)*s >= 0x20)
            putchar(*s);
    putchar('"');
}

static void list_json(const jl_meter_info *rows, size_t n, const jl_machine_state *s)
{
    printf("{\"meters\": [");
    for (size_t i = 0; i < n; i++) {
        printf("%s{\"source\": \"%s\", \"name\": ", i ? ", " : "", rows[i].source);
        print_text(rows[i].name);
        printf(", \"domain\": \"%s\", \"counter\": %s, \"readable\": %s, \"problem\": ",
               rows[i].domain, rows[i].counter ? "true" : "false",
               rows[i].readable ? "true" : "false");
        print_text(rows[i].problem);
        printf(", ");
        print_number("period_s", rows[i].period_s, ", ");
        print_number("delay_s", rows[i].delay_s, "}");
    }
    printf("], \"on_ac\": %s, ", s->on_ac < 0 ? "null" : s->on_ac ? "true" : "false");
    print_number("battery", s->battery, ", ");
    print_number("temperature_c", s->temperature_c, ", ");
    printf("\"thermal\": \"%s\", \"low_power_mode\": %s}\n", power_thermal_name(s->thermal),
           s->low_power_mode < 0 ? "null"
           : s->low_power_mode   ? "true"
                                 : "false");
}

static void list_text(const watch *w, const jl_meter_info *rows, size_t n,
                      const jl_machine_state *s)
{
    char text[200];

    for (size_t i = 0; i < n; i++) {
        printf("%-9s %s, covers %s: ", rows[i].source, rows[i].name, rows[i].domain);
        if (rows[i].readable && rows[i].covers)
            printf("%s, a new value every %g s, up to %g s old\n",
                   rows[i].counter ? "energy counter" : "power", rows[i].period_s, rows[i].delay_s);
        else
            printf("not usable: %s\n", rows[i].problem);
    }
    power_describe_state(s, text, sizeof text);
    printf("machine   %s\n", text);
    if (jl_power_meter(w->power))
        printf("in use    %s\n", jl_power_meter(w->power)->name);
    else
        printf("in use    %s\n", jl_power_why_not(w->power));
    fflush(stdout);
}

static void list(const watch *w)
{
    jl_meter_info rows[32];
    jl_machine_state state;
    size_t n = jl_power_meters(w->power, rows, 32);

    n = n < 32 ? n : 32;
    jl_power_state(w->power, &state);
    if (opt_on(w->o, OPT_JSON))
        list_json(rows, n, &state);
    else
        list_text(w, rows, n, &state);
}

/* ---- samples ---------------------------------------------------------------------------- */

static void keep(watch *w, const jl_power_sample *s)
{
    if (!w->samples || w->n_seen++ % w->stride)
        return;
    if (w->n_samples == MAX_SAMPLES) {
        for (size_t i = 0; i < MAX_SAMPLES / 2; i++)
            w->samples[i] = w->samples[2 * i];
        w->n_samples /= 2;
        w->stride *= 2;
    }
    w->samples[w->n_samples++] = *s;
}

static jl_status log_sample(watch *w, const jl_power_sample *s, double per_token, jl_error *err)
{
    char line[200];

    if (!w->log)
        return JL_OK;
    const int n = snprintf(line, sizeof line, "%.3f,%.6f,%.4f,%.4f,%.1f\n", s->t_s, s->joules,
                           s->watts, per_token, s->temperature_c);
    return jl_writer_write(w->log, line, (size_t)n, err);
}

static void show(const watch *w, const jl_power_sample *s, double per_token)
{
    char token[32] = "";
    char heat[32] = "";

    if (opt_on(w->o, OPT_JSON)) {
        printf("{");
        print_number("t_s", s->t_s, ", ");
        print_number("joules", s->joules, ", ");
        print_number("watts", s->watts, ", ");
        print_number("joules_per_token", per_token, ", ");
        print_number("temperature_c", s->temperature_c, "}\n");
        fflush(stdout);
        return;
    }
    if (isfinite(per_token))
        snprintf(token, sizeof token, " | %.3g J/token", per_token);
    if (isfinite(s->temperature_c))
        snprintf(heat, sizeof heat, " | %.0f C", s->temperature_c);
    if (isatty(STDOUT_FILENO))
        printf("\r\033[K%.2f W%s%s", s->watts, token, heat);
    else
        printf("%.2f W%s%s\n", s->watts, token, heat);
    fflush(stdout);
}

static jl_status one_sample(watch *w, jl_error *err)
{
    jl_power_sample s;
    const double tokens = server_tokens(opt_int(w->o, OPT_PORT));

    jl_power_get_sample(w->power, &s);
    double per_token = (s.joules - w->joules) / (tokens - w->tokens);
    if (!(tokens > w->tokens))
        per_token = NAN;
    w->tokens = tokens;
    w->joules = s.joules;
    if (isnan(s.watts)) /* the first one only starts the clock */
        return JL_OK;
    keep(w, &s);
    show(w, &s, per_token);
    return log_sample(w, &s, per_token, err);
}

static void pause_for(double seconds)
{
    const struct timespec t = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};

    nanosleep(&t, NULL); /* Ctrl-C ends it early */
}

static jl_status follow(watch *w, jl_error *err)
{
    const double interval = w->o->v[OPT_INTERVAL].num;
    const double limit = w->o->v[OPT_SECONDS].num;
    const uint64_t start = jl_time_ns();
    jl_status status = one_sample(w, err);

    while (status == JL_OK && !ui_interrupted) {
        pause_for(interval);
        if (!ui_interrupted)
            status = one_sample(w, err);
        if (limit > 0.0 && (double)(jl_time_ns() - start) * 1e-9 >= limit)
            break;
    }
    if (!opt_on(w->o, OPT_JSON) && isatty(STDOUT_FILENO))
        printf("\n");
    return status;
}

static jl_status open_outputs(watch *w, jl_error *err)
{
    static const char head[] = "seconds,joules,watts,joules_per_token,temperature_c\n";
    const char *path = opt_text(w->o, OPT_LOG_CSV);

    w->stride = 1;
    if (opt_text(w->o, OPT_SVG)) {
        w->samples = jl_malloc(MAX_SAMPLES * sizeof *w->samples);
        if (!w->samples)
            return tool_error(err, JL_NO_MEMORY, "out of memory");
    }
    if (!path)
        return JL_OK;
    const jl_status s = jl_writer_create(path, &w->log, err);
    return s == JL_OK ? jl_writer_write(w->log, head, sizeof head - 1, err) : s;
}

static jl_status close_outputs(watch *w, jl_status status, jl_error *err)
{
    if (w->log && status == JL_OK)
        status = jl_writer_commit(w->log, err);
    else
        jl_writer_abort(w->log);
    if (status == JL_OK && w->samples && w->n_samples >= 2)
        status = power_write_svg(opt_text(w->o, OPT_SVG), w->samples, w->n_samples,
                                 jl_power_meter(w->power)->name, err);
    else if (status == JL_OK && w->samples)
        status = tool_error(err, JL_INVALID, "fewer than two samples: no picture of them");
    jl_free(w->samples);
    return status;
}

static jl_status watch_power(watch *w, jl_error *err)
{
    const bool wanted =
        opt_text(w->o, OPT_LOG_CSV) || opt_text(w->o, OPT_SVG) || w->o->v[OPT_SECONDS].num > 0.0;

    list(w);
    if (!jl_power_meter(w->power)) {
        if (!wanted)
            return JL_OK;
        return tool_error(err, JL_UNSUPPORTED, "%s", jl_power_why_not(w->power));
    }
    ui_catch_interrupt(NULL, NULL);
    jl_status status = open_outputs(w, err);
    if (status == JL_OK)
        status = follow(w, err);
    status = close_outputs(w, status, err);
    ui_release_interrupt();
    return status;
}

int cmd_power(const opts *o)
{
    watch w = {.o = o, .tokens = NAN, .joules = NAN};
    jl_error err = {0};

    jl_status status = power_open(o, NULL, &w.power, &err);
    if (status == JL_OK) {
        status = watch_power(&w, &err);
        jl_power_close(w.power);
    }
    return status == JL_OK ? EXIT_OK : ui_fail(o, &err);
}
