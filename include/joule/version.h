/* Version of the joule library and program. */
#ifndef JL_JOULE_VERSION_H
#define JL_JOULE_VERSION_H

#define JL_VERSION_MAJOR 0
#define JL_VERSION_MINOR 1
#define JL_VERSION_PATCH 0
#define JL_VERSION_STRING "0.1.0"

/* Changes whenever the same file and tokens may give other bits; keys every stored cache. */
#define JL_NUMERICS_VERSION 2

#endif
