// What the shaders of matrix products share: their arguments, and which matrix and rows a column
// belongs to. Plain: column c of the activations gives column c of y. Slots: column c is the pair
// (token c / n_used, rank c % n_used), whose expert is in ids; its activations are those of row
// c / x_div, its result is row c of y.
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer u128_ptr { uvec4 v[]; };

layout(push_constant) uniform args {
    uint64_t w;   // matrices of n_rows rows, row_bytes apart
    uint64_t q;   // I8 [n][n_in], or F32 rows x_stride apart where weights are floats
    f32_ptr d;    // scales of the activations
    u32_ptr sum;  // pairs of I16: sums of q over halves of 16
    uint64_t y;   // F32 [n][y_stride]
    i32_ptr ids;  // rows of n_used expert ids, ids_stride apart
    u32_ptr order; // grouped: slots sorted by expert
    u32_ptr tiles; // grouped: per tile the expert, first place in order, number of columns
    u32_ptr table; // of the type
    uint row_bytes, n_in, n_rows, n_cols, x_stride, y_stride;
    uint n_used, ids_stride, x_div;
} p;

uint slot_expert(uint slot)
{
    return uint(p.ids.v[slot / p.n_used * p.ids_stride + slot % p.n_used]);
}
uint64_t row_address(uint matrix, uint row)
{
    return p.w + (uint64_t(matrix) * p.n_rows + row) * p.row_bytes;
}
void put_y(uint col, uint row, float v)
{
    f32_ptr(p.y + 4ul * (uint64_t(col) * p.y_stride + row)).v[0] = v;
}
