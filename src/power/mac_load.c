/* Looks up the frameworks' functions. Where they are missing (other systems, other versions) the
 * group stays off, and its meters do not exist. */
#include <string.h>
#include <unistd.h>

#include "power/mac.h"

#if defined(__APPLE__)

typedef struct {
    const char *name;
    void *slot; /* a function pointer */
} symbol;

static bool resolve(jl_lib *lib, const symbol *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        void *p = lib ? jl_lib_symbol(lib, list[i].name) : NULL;
        if (!p)
            return false;
        memcpy(list[i].slot, &p, sizeof p);
    }
    return true;
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

static bool load_cf(jl_mac_api *a)
{
    jl_cf_api *c = &a->cf;
    const symbol list[] = {
        {"CFStringCreateWithCString", &c->string}, {"CFStringGetCString", &c->string_get},
        {"CFDictionaryGetValue", &c->dict_get},    {"CFArrayGetCount", &c->array_count},
        {"CFArrayGetValueAtIndex", &c->array_get}, {"CFNumberGetValue", &c->number_get},
        {"CFBooleanGetValue", &c->bool_get},       {"CFGetTypeID", &c->type_of},
        {"CFNumberGetTypeID", &c->number_type},    {"CFBooleanGetTypeID", &c->bool_type},
        {"CFStringGetTypeID", &c->string_type},    {"CFDictionaryGetTypeID", &c->dict_type},
        {"CFArrayGetTypeID", &c->array_type},      {"CFRelease", &c->release},
    };
    return resolve(jl_lib_open("/System/Library/Frameworks/CoreFoundation.framework/"
                               "CoreFoundation"),
                   list, COUNT(list));
}

static bool load_report(jl_mac_api *a)
{
    jl_ioreport_api *r = &a->report;
    const symbol list[] = {
        {"IOReportCopyChannelsInGroup", &r->channels},
        {"IOReportCreateSubscription", &r->subscribe},
        {"IOReportCreateSamples", &r->sample},
        {"IOReportCreateSamplesDelta", &r->delta},
        {"IOReportChannelGetChannelName", &r->channel_name},
        {"IOReportChannelGetUnitLabel", &r->unit},
        {"IOReportSimpleGetIntegerValue", &r->value},
    };
    return resolve(jl_lib_open("/usr/lib/libIOReport.dylib"), list, COUNT(list));
}

static bool load_io(jl_mac_api *a)
{
    jl_lib *lib = jl_lib_open("/System/Library/Frameworks/IOKit.framework/IOKit");
    jl_lib *system = jl_lib_open("/usr/lib/libSystem.B.dylib");
    jl_iokit_api *i = &a->io;
    const symbol list[] = {
        {"IOServiceMatching", &i->matching},
        {"IOServiceGetMatchingService", &i->service},
        {"IOServiceOpen", &i->open},
        {"IOServiceClose", &i->close},
        {"IOConnectCallStructMethod", &i->call},
        {"IORegistryEntryCreateCFProperties", &i->properties},
        {"IOObjectRelease", &i->release},
    };
    const symbol awake[] = {
        {"IOPMAssertionCreateWithName", &a->assert_awake},
        {"IOPMAssertionRelease", &a->release_awake},
    };
    const symbol rusage[] = {{"proc_pid_rusage", &a->pid_rusage}};
    const uint32_t *task = system ? jl_lib_symbol(system, "mach_task_self_") : NULL;

    a->has_awake = resolve(lib, awake, COUNT(awake));
    a->has_rusage = resolve(system, rusage, COUNT(rusage));
    if (!task)
        return false;
    i->task = *task;
    return resolve(lib, list, COUNT(list));
}

/* NSProcessInfo, by messages to the Objective-C runtime. */
static struct {
    void *(*get_class)(const char *name);
    void *(*selector)(const char *name);
    void *(*send)(void);
} objc;

static long ask(const char *question)
{
    void *(*send_object)(void *, void *);
    long (*send_number)(void *, void *);

    memcpy(&send_object, &objc.send, sizeof send_object);
    memcpy(&send_number, &objc.send, sizeof send_number);
    void *info = send_object(objc.get_class("NSProcessInfo"), objc.selector("processInfo"));
    return info ? send_number(info, objc.selector(question)) : -1;
}

static int thermal_state(void)
{
    return (int)ask("thermalState");
}

static int low_power_mode(void)
{
    return (ask("isLowPowerModeEnabled") & 0xff) != 0; /* BOOL is one byte */
}

static bool load_process_info(jl_mac_api *a)
{
    const symbol list[] = {{"objc_getClass", &objc.get_class},
                           {"sel_registerName", &objc.selector},
                           {"objc_msgSend", &objc.send}};

    if (!jl_lib_open("/System/Library/Frameworks/Foundation.framework/Foundation") ||
        !resolve(jl_lib_open("/usr/lib/libobjc.A.dylib"), list, COUNT(list)))
        return false;
    a->thermal_state = thermal_state;
    a->low_power_mode = low_power_mode;
    return true;
}

bool jl_mac_load(jl_mac_api *api)
{
    *api = (jl_mac_api){.pid = (int)getpid()};
    api->has_cf = load_cf(api);
    api->has_report = load_report(api);
    api->has_io = load_io(api);
    api->has_process_info = load_process_info(api);
    return true;
}

#else

bool jl_mac_load(jl_mac_api *api)
{
    *api = (jl_mac_api){.pid = (int)getpid()};
    return false;
}

#endif
