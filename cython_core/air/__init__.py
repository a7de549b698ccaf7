"""Constraint systems: the language they are written in, their key, and ways to evaluate them.

    language    writing a table: columns, constraints, buses
    table       what comes out of it: plain numbers, which the key encodes
    degrees     the rules of degree, and the grouping of interactions that follows from them
    key         the verification key: bytes, strict decoding, digest
    evaluate    evaluation in Python over any arithmetic
    check       says of a trace which constraint fails in which row, and which tuple has no partner
    program     a table as straight-line steps for rows of lanes, and as a tape with places
    codegen     that program as C; the build compiles it for the systems that are shipped
    _tape       runs programs: by generated code where there is some, by the interpreter otherwise

The language and everything the code generator needs run before any extension is built, because the
build runs them: these modules import nothing compiled. The same holds for
`cython_core.chips.shipped_systems`.
"""
