/* Support routines of the SME procedure call standard (AAPCS64, "SME support routines"), for
 * toolchains whose run-time library lacks them; weak, so that the library's own win.
 *
 * __arm_tpidr2_save: if ZA is dormant, somebody up the call chain has left its contents to be saved
 * by whoever needs ZA next; TPIDR2_EL0 then points to { buffer, u16 number of slices, 6 bytes of
 * zero }. May change x14, x15, x16 and the flags only.
 *
 * __arm_get_current_vg: x0 = vector granules of the current mode, for unwinders. Nobody unwinds
 * through these kernels; outside streaming mode it returns 0, as without SVE. */
#define TEXT(x) #x
#define NAME(prefix, name) TEXT(prefix) #name
#define LABEL2(prefix, name) NAME(prefix, name)
#define LABEL(name) LABEL2(__USER_LABEL_PREFIX__, name)
#if defined(__APPLE__)
#define WEAK(name) ".globl " LABEL(name) "\n.weak_definition " LABEL(name) "\n"
#else
#define WEAK(name) ".weak " LABEL(name) "\n.hidden " LABEL(name) "\n.variant_pcs " LABEL(name) "\n"
#endif

__asm__(".text\n"
        ".p2align 2\n" WEAK(__arm_tpidr2_save) LABEL(__arm_tpidr2_save) ":\n"
        "    mrs x14, TPIDR2_EL0\n"
        "    cbz x14, 2f\n"
        "    ldrh w15, [x14, #10]\n"
        "    ldr w16, [x14, #12]\n"
        "    orr w15, w15, w16\n"
        "    cbnz w15, 3f\n" /* a newer format than this code knows */
        "    ldr x16, [x14]\n"
        "    ldrh w14, [x14, #8]\n"
        "    cbz x16, 2f\n"
        "    cbz w14, 2f\n"
        "    mov w15, wzr\n"
        "1:  str za[w15, 0], [x16]\n"
        "    addsvl x16, x16, #1\n"
        "    add w15, w15, #1\n"
        "    cmp w15, w14\n"
        "    b.ne 1b\n"
        "2:  ret\n"
        "3:  brk #1\n"
        ".p2align 2\n" WEAK(__arm_get_current_vg) LABEL(__arm_get_current_vg) ":\n"
        "    mrs x0, SVCR\n"
        "    tbz w0, #0, 4f\n"
        "    rdsvl x0, #1\n"
        "    lsr x0, x0, #3\n"
        "    ret\n"
        "4:  mov x0, xzr\n"
        "    ret\n");
