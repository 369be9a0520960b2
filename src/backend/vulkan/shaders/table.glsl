// The type's table of values, in shared memory if it is small. load_table comes before a barrier.
#ifdef TABLE_WORDS
shared uint table_shared[TABLE_WORDS];
#endif

uint table_word(uint i)
{
#ifdef TABLE_WORDS
    return table_shared[i];
#else
    return p.table.v[i];
#endif
}

void load_table()
{
#ifdef TABLE_WORDS
    for (uint i = gl_LocalInvocationIndex; i < TABLE_WORDS; i += gl_WorkGroupSize.x)
        table_shared[i] = p.table.v[i];
#endif
}
