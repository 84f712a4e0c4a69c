/* SPDX-License-Identifier: Apache-2.0
 *
 * replay FILE...: a fuzz target on given inputs, without libFuzzer, so that every compiler can build it. What fails
 * aborts, as in the fuzzer; the name of the file that was at work is then the last line. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* libFuzzer's, which a target's mutator calls; nothing is mutated here. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    (void)data, (void)size, (void)max_size;
    abort();
}

static int replay(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file)
        return -1;
    size_t size = fread(bytes, 1, sizeof bytes, file);
    int whole = !ferror(file) && size < sizeof bytes;
    fclose(file);
    /* A copy of just this size: what is read beyond it is seen by valgrind and AddressSanitizer. */
    uint8_t *data = malloc(size + !size);
    if (!whole || !data) {
        free(data);
        return -1;
    }
    for (size_t i = 0; i < size; i++)
        data[i] = bytes[i];
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        printf("%s\n", argv[i]);
        fflush(stdout);
        if (replay(argv[i]) != 0) {
            perror(argv[i]);
            return 2;
        }
    }
    return argc < 2;
}
