/* Where things are: the bundled model, the history of the chat. */
#ifndef JL_TOOLS_PATHS_H
#define JL_TOOLS_PATHS_H

#include <stdbool.h>
#include <stddef.h>

/* Path of the bundled model: in JOULE_DATA_DIR if that is set (and only there), else in the
 * installation this program belongs to, the source tree it was built in, or the configured data
 * folder. NULL if there is none. */
const char *path_bundled(void);

/* Path of this program. false if the system does not say. */
bool path_program(char *out, size_t cap);

/* Path of a file that is installed below the data folder ("opencode/lean.md"); NULL if it is not.
 */
const char *path_shared(const char *name);

/* Makes every folder of a path up to its last slash, for this user only. path is the same
 * afterwards. */
bool path_make_folders(char *path);

/* Name of a model file without its folder and ".gguf": the id that clients use. */
void path_model_id(const char *path, char *out, size_t cap);

/* File for the chat's history below XDG_STATE_HOME, its folders made. false if there is no place.
 */
bool path_history(char *out, size_t cap);

/* Folder of compiled shaders below XDG_CACHE_HOME. false if there is no place. */
bool path_shaders(char *out, size_t cap);
/* Place of a model converted from a checkpoint of the Hub's cache, below XDG_CACHE_HOME. false if
 * there is no place. */
bool path_converted(const char *name, char *out, size_t cap);
/* Folder of repacked weights below XDG_CACHE_HOME. false if there is no place. */
bool path_repack(char *out, size_t cap);
/* Folder of the server's cache below XDG_CACHE_HOME. false if there is no place. */
bool path_cache(char *out, size_t cap);

#endif
