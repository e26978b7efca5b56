/* Grammars written in GBNF, llama.cpp's notation:
 *
 *     root   ::= "[" ws (number ("," ws number)*)? "]"   # a comment
 *     number ::= "-"? [0-9]{1,9}
 *     ws     ::= [ \t\n]*
 *
 *     "text"  with \n \r \t \\ \" \xHH \uHHHH \UHHHHHHHH
 *     [a-z]  [^a-z]  .  ( )  |  *  +  ?  {2}  {2,}  {2,5}
 *
 * A rule ends where its line ends, unless within parentheses or beside a |. Names are of letters,
 * digits, - and _. The grammar's texts are those of the rule "root". */
#ifndef QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_GBNF_H
#define QUERN_ENGINE_TEXT_GRAMMAR_GRAMMAR_GBNF_H

#include "engine/text/grammar/grammar_builder.h"

/* Returns the reference to root. An error makes the builder fail, with ERROR_INVALID and the line. */
grammar_expression grammar_gbnf(struct grammar_builder *builder, const char *text, size_t length);

#endif
