"""The innermost steps of event-driven sums, as LLVM vectors.

numba's own loops cannot keep sums in registers, and guard against arrays that overlap. The vectors are LLVM's, not a
processor's: on narrower machines it splits them.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import LANES

ir = cgutils.ir  # pyright: ignore[reportPrivateImportUsage]  # llvmlite's, which numba brings along


def _add_block(
    typing_context: Any, vectors: Any, weight: Any, offsets: Any, start: Any, stop: Any, column: Any, wide: Any
) -> Any:
    """Add rows of weights to `vectors` times `LANES` outputs.

    wide[column + j] += sum over e in start..stop of weight[offsets[e] + column + j], a sum that must fit an int16.
    vectors: a literal. weight: int8 or int16, flat. offsets: int32. wide: int32.
    """
    signature = types.void(vectors, weight, offsets, start, stop, column, wide)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        weights, listed, sums = (context.make_array(kinds[i])(context, builder, arguments[i]).data for i in (1, 2, 6))
        first, last, origin = (context.cast(builder, arguments[i], kinds[i], types.intp) for i in (3, 4, 5))
        element = ir.IntType(kinds[1].dtype.bitwidth)
        narrow, broad = ir.VectorType(ir.IntType(16), LANES), ir.VectorType(ir.IntType(32), LANES)
        offset = context.get_value_type(types.intp)
        count = kinds[0].literal_value
        totals = [cgutils.alloca_once(builder, narrow) for _ in range(count)]
        for total in totals:
            builder.store(ir.Constant(narrow, None), total)
        with cgutils.for_range(builder, builder.sub(last, first)) as loop:
            at = builder.load(builder.gep(listed, [builder.add(first, loop.index)]))
            row = builder.add(builder.sext(at, offset), origin)
            for i, total in enumerate(totals):
                place = builder.gep(weights, [builder.add(row, ir.Constant(offset, i * LANES))])
                values = builder.load(builder.bitcast(place, ir.VectorType(element, LANES).as_pointer()))
                values.align = element.width // 8
                values = values if element.width == 16 else builder.sext(values, narrow)
                builder.store(builder.add(builder.load(total), values), total)
        for i, total in enumerate(totals):
            place = builder.gep(sums, [builder.add(origin, ir.Constant(offset, i * LANES))])
            place = builder.bitcast(place, broad.as_pointer())
            before = builder.load(place)
            before.align = 4
            builder.store(builder.add(before, builder.sext(builder.load(total), broad)), place).align = 4
        return context.get_dummy_value()

    return signature, generate


def _put_eight(typing_context: Any, table: Any, row: Any, base: Any, index: Any, n: Any) -> Any:
    """index[n + j] = table[8 row + j] + base for j in 0..7. table, index: int32, flat. base: int32."""
    signature = types.void(table, row, base, index, n)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = signature.args
        source, target = (context.make_array(kinds[i])(context, builder, arguments[i]).data for i in (0, 3))
        start, at = (context.cast(builder, arguments[i], kinds[i], types.intp) for i in (1, 4))
        lane = ir.IntType(32)
        eight = ir.VectorType(lane, 8)
        first = builder.mul(start, ir.Constant(start.type, 8))
        values = builder.load(builder.bitcast(builder.gep(source, [first]), eight.as_pointer()))
        values.align = 4
        single = builder.insert_element(
            ir.Constant(eight, ir.Undefined), context.cast(builder, arguments[2], kinds[2], types.int32), lane(0)
        )
        spread = builder.shuffle_vector(single, ir.Constant(eight, ir.Undefined), ir.Constant(eight, None))
        place = builder.bitcast(builder.gep(target, [at]), eight.as_pointer())
        builder.store(builder.add(values, spread), place).align = 4
        return context.get_dummy_value()

    return signature, generate


add_block: Any = intrinsic(prefer_literal=True)(_add_block)
put_eight: Any = intrinsic(_put_eight)
