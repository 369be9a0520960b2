/* Frameworks of macOS in memory: objects are nodes of a table, calls answer from a script. */
#ifndef JL_TESTS_POWER_FAKE_MAC_H
#define JL_TESTS_POWER_FAKE_MAC_H

#include "power/mac.h"

enum { FAKE_NODES = 512, FAKE_PAIRS = 16 };

typedef enum { FAKE_STRING, FAKE_NUMBER, FAKE_BOOL, FAKE_DICT, FAKE_ARRAY, FAKE_OTHER } fake_type;

typedef struct fake_node {
    fake_type type;
    int refs;
    char text[64];
    int64_t number;
    const char *keys[FAKE_PAIRS];
    struct fake_node *values[FAKE_PAIRS]; /* of a dictionary, or the items of an array */
    int n;
} fake_node;

/* The machine that answers. Nodes made with fake_new live until fake_reset. */
extern struct fake_machine {
    fake_node *sample[8]; /* IOReport's deltas, one after the other; NULL: none */
    int n_samples, at_sample;
    fake_node *battery; /* properties of AppleSmartBattery; NULL: no battery */
    fake_node *hid;     /* properties of IOHIDSystem; NULL: none */
    bool smc;           /* there is an SMC */
    uint32_t smc_type, smc_size;
    uint8_t smc_bytes[32];
    int smc_result;
    int thermal, low_power, rusage_rc;
    uint64_t energy_nj;
    int n_live; /* references that were not released */
    int n_open; /* connections and services that were not released */
    int n_awake;
} fake;

void fake_reset(void);
fake_node *fake_new(fake_type type);
fake_node *fake_string(const char *text);
fake_node *fake_number(int64_t v);
fake_node *fake_bool(bool v);
void fake_put(fake_node *dict, const char *key, fake_node *value); /* key NULL: an item */
/* A channel of IOReport: name, unit, value. */
fake_node *fake_channel(const char *name, const char *unit, int64_t value);
jl_mac_api fake_api(void);

#endif
