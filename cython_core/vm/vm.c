#include "vm/vm.h"

#include <stdlib.h>
#include <string.h>

#include "vm/steps.h"

static int is_arithmetic(uint32_t op)
{
    return op >= OP_ADD && op <= OP_REMU;
}

static void prepare(const vm_run *run, const uint8_t *bytes, vm_step *step)
{
    uint32_t is_dup = bytes[0] & VM_DUP;

    memcpy(&step->entry, bytes, sizeof step->entry);
    memcpy(&step->imm, bytes + 4, sizeof step->imm);
    step->op = bytes[0] & (VM_DUP - 1);
    if (step->op >= OP_END || step->op == OP_PAD) {
        step->op = OP_ILL;
    }
    step->rd = bytes[1] & 31;
    step->rs1 = bytes[2] & 31;
    step->rs2 = bytes[3] & 31;
    step->other = is_dup ? step->rs1 : step->rs2;
    step->kept_rd = step->rd ? step->rd : VM_SINK;
    step->addend = is_arithmetic(step->op) && !is_dup && step->rs2 == 0 ? step->imm : 0;
    step->target = vm_index(run, step->imm);
}

int vm_init(vm_run *run, const uint8_t *rom, uint32_t count, uint32_t base, uint32_t entry)
{
    run->steps = calloc((size_t)count + 1, sizeof *run->steps);
    run->pages = calloc(VM_PAGES, sizeof *run->pages);
    run->touched = malloc(((size_t)run->pages_max + 1) * sizeof *run->touched);
    if (run->steps == NULL || run->pages == NULL || run->touched == NULL) {
        return -1;
    }
    run->count = count;
    run->base = base;
    run->pc = entry;
    for (uint32_t index = 0; index < count; index++) {
        prepare(run, rom + (size_t)index * VM_ENTRY_BYTES, &run->steps[index]);
    }
    run->steps[count].op = OP_END;
    return 0;
}

void vm_free(vm_run *run)
{
    while (run->pages_used != 0) {
        run->pages_used--;
        free(run->pages[run->touched[run->pages_used]]);
    }
    free(run->touched);
    free(run->pages);
    free(run->steps);
    run->touched = NULL;
    run->pages = NULL;
    run->steps = NULL;
}

void *vm_touch(vm_run *run, uint32_t address)
{
    size_t width = run->with_rows ? sizeof(vm_cell) : sizeof(uint32_t);
    void **page = &run->pages[address / (4 * VM_PAGE_WORDS)];

    if (*page == NULL) {
        if (run->pages_used >= run->pages_max) {
            vm_stop(run, VM_MEMORY, address);
            return NULL;
        }
        *page = calloc(VM_PAGE_WORDS, width);
        if (*page == NULL) {
            vm_stop(run, VM_NO_ROOM, address);
            return NULL;
        }
        run->touched[run->pages_used++] = address / (4 * VM_PAGE_WORDS);
    }
    return *page;
}

int vm_load(vm_run *run, uint32_t address, const uint32_t *words, size_t count)
{
    for (size_t index = 0; index < count; index++, address += 4) {
        void *page = vm_touch(run, address);
        size_t place = address / 4 % VM_PAGE_WORDS;
        if (page == NULL) {
            return -1;
        }
        if (run->with_rows) {
            ((vm_cell *)page)[place] = vm_cell_of(0, words[index]);
        } else {
            ((uint32_t *)page)[place] = words[index];
        }
    }
    return 0;
}

size_t vm_touched(const vm_run *run, uint32_t *words)
{
    size_t count = 0;

    for (uint32_t number = 0; number < VM_PAGES; number++) {
        const vm_cell *page = run->pages[number];
        for (uint32_t place = 0; page != NULL && place < VM_PAGE_WORDS; place++) {
            /* Clock 0 is what the image or nobody has put there. */
            if ((uint32_t)page[place] == 0) {
                continue;
            }
            if (words != NULL) {
                words[3 * count] = 4 * (number * VM_PAGE_WORDS + place);
                words[3 * count + 1] = (uint32_t)page[place];
                words[3 * count + 2] = vm_value(page[place]);
            }
            count++;
        }
    }
    return count;
}

int vm_answer(vm_run *run, uint32_t op, uint32_t *word)
{
    if (op == OP_SIG) {
        if (run->answer_next >= run->answer_count) {
            return vm_stop(run, VM_INPUT, 0);
        }
        *word = run->answers[run->answer_next++];
        return 0;
    }
    if (run->input.next >= run->input.count) {
        return vm_stop(run, VM_INPUT, 0);
    }
    *word = run->input.words[run->input.next++];
    return 0;
}

void vm_show(vm_run *run, uint32_t place, uint32_t word)
{
    run->out[place % VM_OUT_WORDS] = word;
    run->out_count[place % VM_OUT_WORDS]++;
}
