/* macOS: energy and state through frameworks that are resolved while running, so that the same code
 * is built, and tested with fake answers, on every system. Not run on a Mac yet.
 *
 * Pointers of Core Foundation and IOKit are void * here; "copy" and "create" give a reference that
 * is released. */
#ifndef JL_POWER_MAC_H
#define JL_POWER_MAC_H

#include "power/meter.h"

/* Core Foundation, as far as needed. */
typedef struct {
    const void *(*string)(const void *allocator, const char *text, uint32_t encoding);
    unsigned char (*string_get)(const void *string, char *text, long cap, uint32_t encoding);
    const void *(*dict_get)(const void *dict, const void *key);
    long (*array_count)(const void *array);
    const void *(*array_get)(const void *array, long index);
    unsigned char (*number_get)(const void *number, long type, void *out);
    unsigned char (*bool_get)(const void *boolean);
    unsigned long (*type_of)(const void *ref);
    unsigned long (*number_type)(void), (*bool_type)(void), (*string_type)(void),
        (*dict_type)(void), (*array_type)(void);
    void (*release)(const void *ref);
} jl_cf_api;

/* IOReport's energy channels. */
typedef struct {
    void *(*channels)(const void *group, const void *subgroup, uint64_t a, uint64_t b, uint64_t c);
    void *(*subscribe)(void *a, void *channels, void **subscribed, uint64_t id, const void *b);
    const void *(*sample)(void *subscription, void *subscribed, const void *options);
    const void *(*delta)(const void *before, const void *after, const void *options);
    const void *(*channel_name)(const void *channel);
    const void *(*unit)(const void *channel);
    int64_t (*value)(const void *channel, int32_t index);
} jl_ioreport_api;

/* IOKit: the registry, and the SMC's user client. */
typedef struct {
    void *(*matching)(const char *name);
    uint32_t (*service)(uint32_t port, const void *matching); /* takes the dictionary */
    int (*open)(uint32_t service, uint32_t task, uint32_t type, uint32_t *connection);
    int (*close)(uint32_t connection);
    int (*call)(uint32_t connection, uint32_t selector, const void *in, size_t in_bytes, void *out,
                size_t *out_bytes);
    int (*properties)(uint32_t entry, void **dict, const void *allocator, uint32_t options);
    int (*release)(uint32_t object);
    uint32_t task; /* mach_task_self() */
} jl_iokit_api;

typedef struct {
    jl_cf_api cf;
    jl_ioreport_api report;
    jl_iokit_api io;
    int (*pid_rusage)(int pid, int flavor, void *out);
    int pid;
    int (*thermal_state)(void);  /* NSProcessInfo.thermalState, 0..3 */
    int (*low_power_mode)(void); /* 0 or 1 */
    int (*assert_awake)(const void *type, uint32_t level, const void *name, uint32_t *id);
    int (*release_awake)(uint32_t id);
    bool has_cf, has_report, has_io, has_rusage, has_process_info, has_awake;
} jl_mac_api;

/* Fills what the system has; false elsewhere than on a Mac. */
bool jl_mac_load(jl_mac_api *api);

/* Adds meters; api must outlive the list. */
void jl_ioreport_find(const jl_mac_api *api, jl_meters *l);
void jl_smc_find(const jl_mac_api *api, jl_meters *l);
void jl_mac_battery_find(const jl_mac_api *api, jl_meters *l);
void jl_rusage_find(const jl_mac_api *api, jl_meters *l);
/* on_ac, battery, thermal, low_power_mode, temperature of the battery's report excepted */
void jl_mac_state(const jl_mac_api *api, jl_machine_state *out);

/* ---- pieces that tests look at ---------------------------------------------------------- */

/* Joules of one unit of a label ("mJ", "uJ", "nJ", "J"); 0 if unknown. */
double jl_energy_unit(const char *label);
/* What a channel of the group "Energy Model" is; clusters and cores are parts of "CPU Energy". */
typedef enum {
    JL_CHANNEL_OTHER,
    JL_CHANNEL_CPU,
    JL_CHANNEL_GPU,
    JL_CHANNEL_DRAM,
    JL_CHANNEL_ANE
} jl_energy_channel;
jl_energy_channel jl_energy_channel_of(const char *name);
/* Value of an SMC key of a type ("flt ", "sp78", "fpe2", "ui16", ...), in its unit. */
bool jl_smc_value(uint32_t type, const uint8_t *bytes, uint32_t n_bytes, double *out);

/* The SMC's request and answer: 80 bytes. */
typedef struct {
    uint32_t key;
    uint8_t version[6];
    uint8_t pad0[2];
    uint8_t limits[16];
    uint32_t data_size, data_type;
    uint8_t data_attributes;
    uint8_t pad1[3];
    uint8_t result, status, command, pad2;
    uint32_t data32;
    uint8_t bytes[32];
} jl_smc_param;
enum { JL_SMC_READ = 5, JL_SMC_INFO = 9, JL_SMC_SELECTOR = 2 };

#endif
