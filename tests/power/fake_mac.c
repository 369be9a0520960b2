/* Core Foundation, IOReport, IOKit and the rest, as far as joule calls them. */
#include "fake_mac.h"

#include <stdio.h>
#include <string.h>

struct fake_machine fake;
static fake_node nodes[FAKE_NODES];
static int n_nodes;
static fake_node spare; /* when the table is full */

void fake_reset(void)
{
    memset(&fake, 0, sizeof fake);
    memset(nodes, 0, sizeof nodes);
    n_nodes = 0;
}

fake_node *fake_new(fake_type type)
{
    fake_node *n = n_nodes < FAKE_NODES ? &nodes[n_nodes++] : &spare;

    *n = (fake_node){.type = type};
    return n;
}

fake_node *fake_string(const char *text)
{
    fake_node *n = fake_new(FAKE_STRING);

    snprintf(n->text, sizeof n->text, "%s", text);
    return n;
}

fake_node *fake_number(int64_t v)
{
    fake_node *n = fake_new(FAKE_NUMBER);

    n->number = v;
    return n;
}

fake_node *fake_bool(bool v)
{
    fake_node *n = fake_new(FAKE_BOOL);

    n->number = v;
    return n;
}

void fake_put(fake_node *dict, const char *key, fake_node *value)
{
    if (dict->n == FAKE_PAIRS)
        return;
    dict->keys[dict->n] = key;
    dict->values[dict->n++] = value;
}

fake_node *fake_channel(const char *name, const char *unit, int64_t value)
{
    fake_node *c = fake_new(FAKE_DICT);

    fake_put(c, "name", fake_string(name));
    fake_put(c, "unit", fake_string(unit));
    c->number = value;
    return c;
}

/* ---- Core Foundation -------------------------------------------------------------------- */

static const void *cf_string(const void *allocator, const char *text, uint32_t encoding)
{
    static fake_node made[64];
    static int at;
    fake_node *n = &made[at++ % 64];
    (void)allocator;
    (void)encoding;

    *n = (fake_node){.type = FAKE_STRING, .refs = 1};
    snprintf(n->text, sizeof n->text, "%s", text);
    fake.n_live++;
    return n;
}

static unsigned char cf_string_get(const void *s, char *text, long cap, uint32_t encoding)
{
    const fake_node *n = s;
    (void)encoding;

    return n->type == FAKE_STRING && snprintf(text, (size_t)cap, "%s", n->text) < cap;
}

static const void *cf_dict_get(const void *d, const void *key)
{
    const fake_node *n = d;

    for (int i = 0; n->type == FAKE_DICT && i < n->n; i++)
        if (strcmp(n->keys[i], ((const fake_node *)key)->text) == 0)
            return n->values[i];
    return NULL;
}

static long cf_array_count(const void *a)
{
    return ((const fake_node *)a)->n;
}

static const void *cf_array_get(const void *a, long i)
{
    return ((const fake_node *)a)->values[i];
}

static unsigned char cf_number_get(const void *number, long type, void *out)
{
    const fake_node *n = number;

    if (type != 4)
        return 0;
    memcpy(out, &n->number, sizeof n->number);
    return 1;
}

static unsigned char cf_bool_get(const void *b)
{
    return ((const fake_node *)b)->number != 0;
}

static unsigned long cf_type_of(const void *ref)
{
    return (unsigned long)((const fake_node *)ref)->type;
}

#define TYPE(name, value)                                                                          \
    static unsigned long name(void)                                                                \
    {                                                                                              \
        return (unsigned long)(value);                                                             \
    }
TYPE(type_number, FAKE_NUMBER)
TYPE(type_bool, FAKE_BOOL)
TYPE(type_string, FAKE_STRING)
TYPE(type_dict, FAKE_DICT)
TYPE(type_array, FAKE_ARRAY)

static void cf_release(const void *ref)
{
    (void)ref;
    fake.n_live--;
}

/* ---- IOReport --------------------------------------------------------------------------- */

static void *report_channels(const void *group, const void *sub, uint64_t a, uint64_t b, uint64_t c)
{
    (void)sub;
    (void)a;
    (void)b;
    (void)c;
    if (strcmp(((const fake_node *)group)->text, "Energy Model") != 0 || !fake.n_samples)
        return NULL;
    fake.n_live++;
    return &spare;
}

static void *report_subscribe(void *a, void *channels, void **subscribed, uint64_t id,
                              const void *b)
{
    (void)a;
    (void)channels;
    (void)id;
    (void)b;
    fake.n_live += 2;
    *subscribed = &spare;
    return &spare;
}

static const void *report_sample(void *subscription, void *subscribed, const void *options)
{
    (void)subscription;
    (void)subscribed;
    (void)options;
    if (fake.at_sample >= fake.n_samples)
        return NULL;
    fake.n_live++;
    return fake.sample[fake.at_sample++];
}

static const void *report_delta(const void *before, const void *after, const void *options)
{
    (void)before;
    (void)options;
    fake.n_live++;
    return after; /* the samples of the script are differences already */
}

static const void *channel_part(const void *channel, const char *name)
{
    const fake_node *c = channel;

    for (int i = 0; i < c->n; i++)
        if (c->keys[i] && strcmp(c->keys[i], name) == 0)
            return c->values[i];
    return NULL;
}

static const void *report_name(const void *channel)
{
    return channel_part(channel, "name");
}

static const void *report_unit(const void *channel)
{
    return channel_part(channel, "unit");
}

static int64_t report_value(const void *channel, int32_t index)
{
    (void)index;
    return ((const fake_node *)channel)->number;
}

/* ---- IOKit ------------------------------------------------------------------------------ */

static void *io_matching(const char *name)
{
    return (void *)(uintptr_t)name;
}

static uint32_t io_service(uint32_t port, const void *matching)
{
    (void)port;
    const bool smc = strcmp(matching, "AppleSMC") == 0 && fake.smc;
    const bool battery = strcmp(matching, "AppleSmartBattery") == 0 && fake.battery;

    const bool hid = strcmp(matching, "IOHIDSystem") == 0 && fake.hid;

    fake.n_open += smc || battery || hid;
    return smc ? 1 : battery ? 2 : hid ? 3 : 0;
}

static int io_open(uint32_t service, uint32_t task, uint32_t type, uint32_t *connection)
{
    (void)service;
    (void)task;
    (void)type;
    fake.n_open++;
    *connection = 7;
    return 0;
}

static int io_close(uint32_t connection)
{
    (void)connection;
    fake.n_open--;
    return 0;
}

static int io_release(uint32_t object)
{
    (void)object;
    fake.n_open--;
    return 0;
}

static int io_call(uint32_t connection, uint32_t selector, const void *in, size_t in_bytes,
                   void *out, size_t *out_bytes)
{
    const jl_smc_param *request = in;
    jl_smc_param *answer = out;
    (void)connection;

    if (selector != JL_SMC_SELECTOR || in_bytes != sizeof *request || *out_bytes != sizeof *answer)
        return 1;
    *answer = *request;
    answer->result = (uint8_t)fake.smc_result;
    if (request->command == JL_SMC_INFO) {
        answer->data_size = fake.smc_size;
        answer->data_type = fake.smc_type;
    } else {
        memcpy(answer->bytes, fake.smc_bytes, sizeof answer->bytes);
    }
    return 0;
}

static int io_properties(uint32_t entry, void **dict, const void *allocator, uint32_t options)
{
    (void)allocator;
    (void)options;
    if (!(entry == 2 && fake.battery) && !(entry == 3 && fake.hid))
        return 1;
    *dict = entry == 2 ? fake.battery : fake.hid;
    fake.n_live++;
    return 0;
}

static int pid_rusage(int pid, int flavor, void *out)
{
    uint64_t *words = out;

    if (flavor != 6 || pid != 42)
        return -1;
    for (int i = 0; i < 48; i++)
        words[i] = 0xdeadbeefu; /* only the right word is energy */
    words[42] = fake.energy_nj;
    return fake.rusage_rc;
}

static int thermal(void)
{
    return fake.thermal;
}

static int low_power(void)
{
    return fake.low_power;
}

static int assert_awake(const void *type, uint32_t level, const void *name, uint32_t *id)
{
    (void)name;
    if (strcmp(((const fake_node *)type)->text, "PreventUserIdleSystemSleep") != 0 || level != 255)
        return 1;
    fake.n_awake++;
    *id = 5;
    return 0;
}

static int release_awake(uint32_t id)
{
    fake.n_awake -= id == 5;
    return 0;
}

jl_mac_api fake_api(void)
{
    return (jl_mac_api){
        .cf = {cf_string, cf_string_get, cf_dict_get, cf_array_count, cf_array_get, cf_number_get,
               cf_bool_get, cf_type_of, type_number, type_bool, type_string, type_dict, type_array,
               cf_release},
        .report = {report_channels, report_subscribe, report_sample, report_delta, report_name,
                   report_unit, report_value},
        .io = {io_matching, io_service, io_open, io_close, io_call, io_properties, io_release, 3},
        .pid_rusage = pid_rusage,
        .pid = 42,
        .thermal_state = thermal,
        .low_power_mode = low_power,
        .assert_awake = assert_awake,
        .release_awake = release_awake,
        .has_cf = true,
        .has_report = true,
        .has_io = true,
        .has_rusage = true,
        .has_process_info = true,
        .has_awake = true,
    };
}
