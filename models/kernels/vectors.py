"""The innermost steps of event-driven sums in float32, as LLVM vectors.

numba's own loops cannot keep sums in registers, and look for negative indices. The vectors are LLVM's, not a
processor's: on narrower machines it splits them.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ir = cgutils.ir  # pyright: ignore[reportPrivateImportUsage]  # llvmlite's, which numba brings along

LANES = 16
"""Outputs of one vector: 512 bits of float32."""

SPREAD = sum(1 << (24 - 7 * k) for k in range(4))
"""Times a word whose four bytes are 0 or 1, it has byte k at bit 24 + k."""


def _gather(
    typing_context: Any, vectors: Any, table: Any, index: Any, spans: Any, count: Any, out: Any, place: Any
) -> Any:
    """out[place + j] = sum over the first `count` spans (start, stop, base), and over e in start..stop of
    table[base + index[e] + j], for j up to `vectors` times `LANES`.

    vectors: a literal. table, out: float32, flat. index: int32. spans: int64 (n, 3).
    """
    signature = types.void(vectors, table, index, spans, count, out, place)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        rows, listed, bounds, sums = (
            context.make_array(kinds[i])(context, builder, arguments[i]).data for i in (1, 2, 3, 5)
        )
        n_spans, target = (context.cast(builder, arguments[i], kinds[i], types.intp) for i in (4, 6))
        offset = context.get_value_type(types.intp)
        vector = ir.VectorType(ir.FloatType(), LANES)
        totals = [cgutils.alloca_once(builder, vector) for _ in range(kinds[0].literal_value)]
        for total in totals:
            builder.store(ir.Constant(vector, None), total)
        with cgutils.for_range(builder, n_spans) as span:
            at = builder.mul(span.index, ir.Constant(offset, 3))
            start, stop, base = (
                builder.load(builder.gep(bounds, [builder.add(at, ir.Constant(offset, i))])) for i in range(3)
            )
            with cgutils.for_range(builder, builder.sub(stop, start)) as loop:
                entry = builder.load(builder.gep(listed, [builder.add(start, loop.index)]))
                row = builder.add(builder.sext(entry, offset), base)
                for i, total in enumerate(totals):
                    here = builder.gep(rows, [builder.add(row, ir.Constant(offset, i * LANES))])
                    values = builder.load(builder.bitcast(here, vector.as_pointer()))
                    values.align = 4
                    builder.store(builder.fadd(builder.load(total), values), total)
        for i, total in enumerate(totals):
            here = builder.gep(sums, [builder.add(target, ir.Constant(offset, i * LANES))])
            builder.store(builder.load(total), builder.bitcast(here, vector.as_pointer())).align = 4
        return context.get_dummy_value()

    return signature, generate


gather: Any = intrinsic(prefer_literal=True)(_gather)


def _note(typing_context: Any, words: Any, at: Any, groups: Any, base: Any, row: Any, index: Any, n: Any) -> Any:
    """List the groups of four channels that are not silent; returns n plus their number.

    index[n] = base + (16 g + pattern) row, and so on, for the patterns of words[at + g], g < groups. words: uint32,
    flat, four bytes 0 or 1 each. base, row, index: int32; one entry more than is listed may be written.
    """
    signature = types.intp(words, at, groups, base, row, index, n)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        lane, offset = ir.IntType(32), context.get_value_type(types.intp)
        given, listed = (context.make_array(kinds[i])(context, builder, arguments[i]).data for i in (0, 5))
        start, count, found = (context.cast(builder, arguments[i], kinds[i], types.intp) for i in (1, 2, 6))
        row = arguments[4]
        step = builder.shl(row, ir.Constant(lane, 4))
        total, entry = cgutils.alloca_once_value(builder, found), cgutils.alloca_once_value(builder, arguments[3])
        with cgutils.for_range(builder, count) as loop:
            word = builder.load(builder.gep(given, [builder.add(start, loop.index)]))
            pattern = builder.lshr(builder.mul(word, ir.Constant(lane, SPREAD)), ir.Constant(lane, 24))
            here, first = builder.load(total), builder.load(entry)
            builder.store(builder.add(first, builder.mul(pattern, row)), builder.gep(listed, [here]))
            fired = builder.zext(builder.icmp_unsigned("!=", pattern, ir.Constant(lane, 0)), offset)
            builder.store(builder.add(here, fired), total)
            builder.store(builder.add(first, step), entry)
        return builder.load(total)

    return signature, generate


note: Any = intrinsic(_note)


def _sweep(
    typing_context: Any, vectors: Any, table: Any, index: Any, first: Any, width: Any, out: Any, place: Any, step: Any
) -> Any:
    """One row of outputs of a convolution three columns wide, with stride 1 and one column of padding.

    An event at column x adds table[index[e] + (3 j + i) LANES ...], i = 0, 1, 2, j < `vectors`, to the outputs at
    x + 1, x, x - 1: three sums are carried along, and one is finished per column. Output x is put at
    out[place + step x]. vectors: a literal. table, out: float32, flat. index: int32. first: int32 (width + 1,), where
    the events of each column begin.
    """
    signature = types.void(vectors, table, index, first, width, out, place, step)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        rows, listed, begins, sums = (
            context.make_array(kinds[i])(context, builder, arguments[i]).data for i in (1, 2, 3, 5)
        )
        columns, origin, pace = (context.cast(builder, arguments[i], kinds[i], types.intp) for i in (4, 6, 7))
        offset = context.get_value_type(types.intp)
        vector = ir.VectorType(ir.FloatType(), LANES)
        count, zero = kinds[0].literal_value, ir.Constant(vector, None)
        totals = [[cgutils.alloca_once(builder, vector) for _ in range(count)] for _ in range(3)]
        for total in (total for tap in totals for total in tap):
            builder.store(zero, total)

        def finish(column: Any) -> None:
            target = builder.add(origin, builder.mul(pace, column))
            for j, total in enumerate(totals[2]):
                here = builder.gep(sums, [builder.add(target, ir.Constant(offset, j * LANES))])
                builder.store(builder.load(total), builder.bitcast(here, vector.as_pointer())).align = 4

        with cgutils.for_range(builder, columns) as loop:
            after = builder.add(loop.index, ir.Constant(offset, 1))
            start, stop = (builder.sext(builder.load(builder.gep(begins, [at])), offset) for at in (loop.index, after))
            with cgutils.for_range(builder, builder.sub(stop, start)) as event:
                entry = builder.load(builder.gep(listed, [builder.add(start, event.index)]))
                row = builder.sext(entry, offset)
                for tap in range(3):
                    for j, total in enumerate(totals[tap]):
                        here = builder.gep(rows, [builder.add(row, ir.Constant(offset, (3 * j + tap) * LANES))])
                        values = builder.load(builder.bitcast(here, vector.as_pointer()))
                        values.align = 4
                        builder.store(builder.fadd(builder.load(total), values), total)
            with builder.if_then(builder.icmp_signed(">", loop.index, ir.Constant(offset, 0))):
                finish(builder.sub(loop.index, ir.Constant(offset, 1)))
            for j in range(count):
                builder.store(builder.load(totals[1][j]), totals[2][j])
                builder.store(builder.load(totals[0][j]), totals[1][j])
                builder.store(zero, totals[0][j])
        finish(builder.sub(columns, ir.Constant(offset, 1)))
        return context.get_dummy_value()

    return signature, generate


sweep: Any = intrinsic(prefer_literal=True)(_sweep)
