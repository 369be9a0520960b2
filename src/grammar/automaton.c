#include "grammar/automaton.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Limits that keep hostile grammars from eating the machine. */
enum {
    MAX_NODES = 1 << 22,
    MAX_STATES = 1 << 18,
    MAX_TOPS = 1 << 12,             /* stacks of one state */
    MAX_WORK = 1 << 26,             /* expansions for one mask or step, a second or two */
    MASK_CACHE_BYTES = 64 << 20,
    UNKNOWN = -1
};

typedef struct { /* a stack: read el, then go on with parent (0: nothing is left) */
    uint32_t el;
    uint32_t parent;
    uint32_t epoch; /* last closure that visited it */
} node;

typedef struct {
    uint32_t first, n; /* its stacks in tops, each at a byte range or a mark */
    bool accepts;
    int32_t *next;     /* [256] states, UNKNOWN; NULL until needed */
    uint32_t *mask;    /* NULL until needed */
} state_info;

typedef struct { /* open addressing, values are indices + 1 */
    uint32_t *slots;
    size_t cap, n;
} table;

struct jl_automaton {
    const jl_grammar *g;
    const jl_trie *trie;
    jl_special_token *specials;
    size_t n_specials;
    int32_t *mark_tokens; /* [g->n_marks] */
    node *nodes;
    size_t n_nodes, cap_nodes;
    uint32_t *tops;
    size_t n_tops, cap_tops;
    state_info *states;
    size_t n_states, cap_states;
    table node_table, state_table;
    uint32_t *work;       /* stack of the closure: pairs el, parent */
    size_t n_work, cap_work;
    uint32_t epoch;
    uint32_t work_left;   /* expansions */
    uint32_t start;
    size_t n_masks, mask_words;
};

/* ---- tables ----------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_state(const uint32_t *tops, size_t n, bool accepts)
{
    uint64_t h = accepts ? 7 : 3;
    for (size_t i = 0; i < n; i++)
        h = mix(h, tops[i]);
    return h;
}

static uint64_t hash_of(const jl_automaton *a, const table *t, uint32_t index)
{
    if (t == &a->node_table)
        return mix(a->nodes[index].el, a->nodes[index].parent);
    const state_info *s = &a->states[index];
    return hash_state(a->tops + s->first, s->n, s->accepts);
}

static void insert(const jl_automaton *a, table *t, uint32_t index)
{
    size_t i = (size_t)hash_of(a, t, index) & (t->cap - 1);
    while (t->slots[i])
        i = (i + 1) & (t->cap - 1);
    t->slots[i] = index + 1;
}

static jl_status make_room(const jl_automaton *a, table *t, jl_error *err)
{
    if (t->n * 2 < t->cap)
        return JL_OK;
    table big = {.cap = t->cap ? t->cap * 2 : 256, .n = t->n};
    big.slots = jl_calloc(big.cap, sizeof *big.slots);
    if (!big.slots)
        return jl_fail(err, JL_NO_MEMORY, "no memory for %zu states of a grammar", big.cap);
    uint32_t *old = t->slots;
    const size_t n_old = t->cap;
    *t = big;
    for (size_t i = 0; i < n_old; i++)
        if (old[i])
            insert(a, t, old[i] - 1);
    jl_free(old);
    return JL_OK;
}

/* ---- stacks ----------------------------------------------------------------------------- */

/* The node of (el, parent), numbered from 1; 0 is the empty stack. */
static jl_status intern(jl_automaton *a, uint32_t el, uint32_t parent, uint32_t *out, jl_error *err)
{
    table *t = &a->node_table;
    JL_TRY(make_room(a, t, err));
    size_t i = (size_t)mix(el, parent) & (t->cap - 1);
    for (; t->slots[i]; i = (i + 1) & (t->cap - 1)) {
        const node *n = &a->nodes[t->slots[i] - 1];
        if (n->el == el && n->parent == parent) {
            *out = t->slots[i];
            return JL_OK;
        }
    }
    if (a->n_nodes >= MAX_NODES)
        return jl_fail(err, JL_TOO_LARGE, "the grammar nests too deeply: more than %d stack "
                       "entries",
                       MAX_NODES);
    JL_TRY(jl_grow(&a->nodes, &a->cap_nodes, a->n_nodes + 1, sizeof *a->nodes, err));
    a->nodes[a->n_nodes++] = (node){el, parent, 0};
    t->slots[i] = (uint32_t)a->n_nodes;
    t->n++;
    *out = (uint32_t)a->n_nodes;
    return JL_OK;
}

static jl_status push_work(jl_automaton *a, uint32_t el, uint32_t parent, jl_error *err)
{
    JL_TRY(jl_grow(&a->work, &a->cap_work, a->n_work + 2, sizeof *a->work, err));
    a->work[a->n_work++] = el;
    a->work[a->n_work++] = parent;
    return JL_OK;
}

/* Takes one entry off the work list: adds it to tops if it reads a symbol, else expands its rule.
 * */
static jl_status expand(jl_automaton *a, bool *accepts, size_t first, jl_error *err)
{
    uint32_t parent = a->work[--a->n_work], el = a->work[--a->n_work], id;
    if (a->work_left-- == 0) {
        a->work_left = 0;
        return jl_fail(err, JL_TOO_LARGE, "the grammar is too costly: more than %d steps for one "
                       "token", MAX_WORK);
    }
    while (a->g->els[el].kind == JL_EL_END) {
        if (parent == 0) {
            *accepts = true;
            return JL_OK;
        }
        el = a->nodes[parent - 1].el;
        parent = a->nodes[parent - 1].parent;
    }
    JL_TRY(intern(a, el, parent, &id, err));
    if (a->nodes[id - 1].epoch == a->epoch)
        return JL_OK;
    a->nodes[id - 1].epoch = a->epoch;
    const jl_el *e = &a->g->els[el];
    if (e->kind != JL_EL_RULE) {
        if (a->n_tops - first >= MAX_TOPS)
            return jl_fail(err, JL_TOO_LARGE, "the grammar is too ambiguous: more than %d readings "
                           "of one text", MAX_TOPS);
        JL_TRY(jl_grow(&a->tops, &a->cap_tops, a->n_tops + 1, sizeof *a->tops, err));
        a->tops[a->n_tops++] = id;
        return JL_OK;
    }
    uint32_t rest = parent; /* a call at the end of its alternative leaves nothing behind */
    if (e[1].kind != JL_EL_END)
        JL_TRY(intern(a, el + 1, parent, &rest, err));
    const jl_rule *r = &a->g->rules[e->ref];
    for (size_t i = 0; i < r->n_alts; i++)
        JL_TRY(push_work(a, r->alts[i], rest, err));
    return JL_OK;
}

static int compare_u32(const void *pa, const void *pb)
{
    const uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

/* The state of what the work list leads to. */
static jl_status close_state(jl_automaton *a, uint32_t *out, jl_error *err)
{
    const size_t first = a->n_tops;
    bool accepts = false;
    a->epoch++;
    while (a->n_work > 0)
        JL_TRY(expand(a, &accepts, first, err));
    const size_t n = a->n_tops - first;
    if (n == 0 && !accepts) {
        *out = JL_STATE_DEAD;
        return JL_OK;
    }
    if (n > 1)
        qsort(a->tops + first, n, sizeof *a->tops, compare_u32);

    table *t = &a->state_table;
    JL_TRY(make_room(a, t, err));
    size_t i = (size_t)hash_state(a->tops + first, n, accepts) & (t->cap - 1);
    for (; t->slots[i]; i = (i + 1) & (t->cap - 1)) {
        const state_info *s = &a->states[t->slots[i] - 1];
        if (s->accepts == accepts && s->n == n &&
            (n == 0 || memcmp(a->tops + s->first, a->tops + first, n * sizeof *a->tops) == 0)) {
            a->n_tops = first;
            *out = t->slots[i] - 1;
            return JL_OK;
        }
    }
    if (a->n_states >= MAX_STATES)
        return jl_fail(err, JL_TOO_LARGE, "the grammar needs more than %d states", MAX_STATES);
    JL_TRY(jl_grow(&a->states, &a->cap_states, a->n_states + 1, sizeof *a->states, err));
    a->states[a->n_states] = (state_info){(uint32_t)first, (uint32_t)n, accepts, NULL, NULL};
    *out = (uint32_t)a->n_states++;
    t->slots[i] = *out + 1;
    t->n++;
    return JL_OK;
}

/* ---- steps ------------------------------------------------------------------------------ */

static bool reads(const jl_automaton *a, uint32_t top, jl_el_kind kind, uint32_t symbol)
{
    const jl_el *e = &a->g->els[a->nodes[top - 1].el];
    if (e->kind != kind)
        return false;
    return kind == JL_EL_MARK ? e->ref == symbol : e->lo <= symbol && symbol <= e->hi;
}

static jl_status step_symbol(jl_automaton *a, uint32_t state, jl_el_kind kind, uint32_t symbol,
                             uint32_t *out, jl_error *err)
{
    const state_info s = a->states[state];
    a->n_work = 0;
    for (uint32_t i = 0; i < s.n; i++) {
        const uint32_t top = a->tops[s.first + i];
        if (reads(a, top, kind, symbol))
            JL_TRY(push_work(a, a->nodes[top - 1].el + 1, a->nodes[top - 1].parent, err));
    }
    if (a->n_work == 0) {
        *out = JL_STATE_DEAD;
        return JL_OK;
    }
    return close_state(a, out, err);
}

static jl_status step_byte(jl_automaton *a, uint32_t state, uint8_t byte, uint32_t *out,
                           jl_error *err)
{
    if (!a->states[state].next) {
        int32_t *next = jl_malloc(256 * sizeof *next);
        if (!next)
            return jl_fail(err, JL_NO_MEMORY, "no memory for the states of a grammar");
        for (int i = 0; i < 256; i++)
            next[i] = UNKNOWN;
        a->states[state].next = next;
    }
    if (a->states[state].next[byte] == UNKNOWN) {
        uint32_t next;
        JL_TRY(step_symbol(a, state, JL_EL_RANGE, byte, &next, err));
        a->states[state].next[byte] = (int32_t)next;
    }
    *out = (uint32_t)a->states[state].next[byte];
    return JL_OK;
}

static const jl_special_token *find_special(const jl_automaton *a, int32_t token)
{
    for (size_t i = 0; i < a->n_specials; i++)
        if (a->specials[i].token == token)
            return &a->specials[i];
    return NULL;
}

jl_status jl_automaton_step(jl_automaton *a, uint32_t state, int32_t token, const char *piece,
                            size_t len, uint32_t *next, jl_error *err)
{
    const jl_special_token *special = find_special(a, token);
    a->work_left = MAX_WORK;
    *next = JL_STATE_DEAD;
    if (special && !special->text) {
        *next = a->states[state].accepts ? state : JL_STATE_DEAD;
        return JL_OK;
    }
    if (special) {
        for (size_t i = 0; i < a->g->n_marks; i++)
            if (a->mark_tokens[i] == token)
                return step_symbol(a, state, JL_EL_MARK, (uint32_t)i, next, err);
        return JL_OK;
    }
    for (size_t i = 0; i < len && state != JL_STATE_DEAD; i++)
        JL_TRY(step_byte(a, state, (uint8_t)piece[i], &state, err));
    *next = len ? state : JL_STATE_DEAD;
    return JL_OK;
}

/* ---- masks ------------------------------------------------------------------------------ */

static void set_bit(uint32_t *mask, int32_t token)
{
    mask[token / 32] |= (uint32_t)1 << (token % 32);
}

static jl_status walk(jl_automaton *a, uint32_t state, uint32_t *mask, jl_error *err)
{
    const jl_trie *t = a->trie;
    uint32_t path[JL_TRIE_MAX_DEPTH + 1];
    path[0] = state;
    for (size_t i = 0; i < t->n_nodes;) {
        const jl_trie_node *n = &t->nodes[i];
        uint32_t next;
        JL_TRY(step_byte(a, path[n->depth], n->byte, &next, err));
        if (next == JL_STATE_DEAD) {
            i = n->skip;
            continue;
        }
        path[n->depth + 1] = next;
        for (int32_t token = n->token; token >= 0; token = t->same[token])
            set_bit(mask, token);
        i++;
    }
    return JL_OK;
}

static jl_status fill_mask(jl_automaton *a, uint32_t state, uint32_t *mask, jl_error *err)
{
    JL_TRY(walk(a, state, mask, err));
    for (size_t i = 0; i < a->g->n_marks; i++) {
        uint32_t next;
        JL_TRY(step_symbol(a, state, JL_EL_MARK, (uint32_t)i, &next, err));
        if (next != JL_STATE_DEAD)
            set_bit(mask, a->mark_tokens[i]);
    }
    for (size_t i = 0; i < a->n_specials && a->states[state].accepts; i++)
        if (!a->specials[i].text)
            set_bit(mask, a->specials[i].token);
    return JL_OK;
}

static void drop_masks(jl_automaton *a)
{
    for (size_t i = 0; i < a->n_states; i++) {
        jl_free(a->states[i].mask);
        a->states[i].mask = NULL;
    }
    a->n_masks = 0;
}

jl_status jl_automaton_mask(jl_automaton *a, uint32_t state, const uint32_t **mask, jl_error *err)
{
    if (!a->states[state].mask) {
        if ((a->n_masks + 1) * a->mask_words * sizeof(uint32_t) > MASK_CACHE_BYTES)
            drop_masks(a);
        uint32_t *fresh = jl_calloc(a->mask_words, sizeof *fresh);
        if (!fresh)
            return jl_fail(err, JL_NO_MEMORY, "no memory for a token mask");
        a->work_left = MAX_WORK;
        const jl_status status = state == JL_STATE_DEAD ? JL_OK : fill_mask(a, state, fresh, err);
        if (status != JL_OK) {
            jl_free(fresh);
            return status;
        }
        a->states[state].mask = fresh;
        a->n_masks++;
    }
    *mask = a->states[state].mask;
    return JL_OK;
}

/* ---- life ------------------------------------------------------------------------------- */

static jl_status bind_marks(jl_automaton *a, jl_error *err)
{
    for (size_t i = 0; i < a->g->n_marks; i++) {
        a->mark_tokens[i] = -1;
        for (size_t k = 0; k < a->n_specials; k++)
            if (a->specials[k].text && strcmp(a->specials[k].text, a->g->marks[i]) == 0)
                a->mark_tokens[i] = a->specials[k].token;
        if (a->mark_tokens[i] < 0)
            return jl_fail(err, JL_INVALID, "the grammar names the special token %s, which the "
                           "vocabulary lacks", a->g->marks[i]);
    }
    return JL_OK;
}

static jl_status set_up(jl_automaton *a, const jl_special_token *specials, size_t n, jl_error *err)
{
    uint32_t max = a->trie->n_tokens;
    a->work_left = MAX_WORK;
    a->specials = jl_calloc(n + 1, sizeof *a->specials);
    a->mark_tokens = jl_calloc(a->g->n_marks + 1, sizeof *a->mark_tokens);
    if (!a->specials || !a->mark_tokens)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a grammar");
    for (size_t i = 0; i < n; i++) {
        a->specials[i].token = specials[i].token;
        if (specials[i].text) {
            a->specials[i].text = jl_strndup(specials[i].text, strlen(specials[i].text));
            if (!a->specials[i].text)
                return jl_fail(err, JL_NO_MEMORY, "no memory for a grammar");
        }
        a->n_specials++;
        if ((uint32_t)specials[i].token >= max)
            max = (uint32_t)specials[i].token + 1;
    }
    a->mask_words = ((size_t)max + 31) / 32;
    JL_TRY(bind_marks(a, err));
    JL_TRY(jl_grow(&a->states, &a->cap_states, 1, sizeof *a->states, err));
    a->states[a->n_states++] = (state_info){0}; /* JL_STATE_DEAD */
    for (size_t i = 0; i < a->g->rules[0].n_alts; i++)
        JL_TRY(push_work(a, a->g->rules[0].alts[i], 0, err));
    return close_state(a, &a->start, err);
}

jl_status jl_automaton_create(const jl_grammar *g, const jl_trie *trie,
                              const jl_special_token *specials, size_t n_specials,
                              jl_automaton **out, jl_error *err)
{
    jl_automaton *a = jl_calloc(1, sizeof *a);
    if (!a)
        return jl_fail(err, JL_NO_MEMORY, "no memory for a grammar");
    a->g = g;
    a->trie = trie;
    const jl_status status = set_up(a, specials, n_specials, err);
    if (status != JL_OK) {
        jl_automaton_free(a);
        return status;
    }
    *out = a;
    return JL_OK;
}

void jl_automaton_free(jl_automaton *a)
{
    if (!a)
        return;
    drop_masks(a);
    for (size_t i = 0; i < a->n_states; i++)
        jl_free(a->states[i].next);
    for (size_t i = 0; i < a->n_specials; i++)
        jl_free((char *)(uintptr_t)a->specials[i].text);
    jl_free(a->specials);
    jl_free(a->mark_tokens);
    jl_free(a->nodes);
    jl_free(a->tops);
    jl_free(a->states);
    jl_free(a->node_table.slots);
    jl_free(a->state_table.slots);
    jl_free(a->work);
    jl_free(a);
}

uint32_t jl_automaton_start(const jl_automaton *a)
{
    return a->start;
}

bool jl_automaton_accepts(const jl_automaton *a, uint32_t state)
{
    return a->states[state].accepts;
}

size_t jl_automaton_n_states(const jl_automaton *a)
{
    return a->n_states;
}

size_t jl_automaton_n_masks(const jl_automaton *a)
{
    return a->n_masks;
}
