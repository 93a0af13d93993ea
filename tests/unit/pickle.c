/* SPDX-License-Identifier: Apache-2.0 */
/* pickle.c - tests of formats/pickle.h: every opcode, and what is made to do harm */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../cache/arena.h"
#include "../../cache/cleanup.h"
#include "../../cache/error.h"
#include "../../cache/make.h"
#include "../../cache/text.h"
#include "../../formats/pickle.h"
#include "check.h"

/* A pickle, and what it is: the graph as show() writes it, or, after a "!",
 * the sentence that refuses it. */
struct row {
	int op; /* the opcode that the row is about, or 0 */
	const char *pickle;
	size_t n;
	const char *want;
};

#define P(text) "" text, sizeof(text) - 1
#define LEFT "are left in the file; it may still be being written"
#define ENDS "the file ends within the pickle, a pickle ends with STOP; it may still be being written"
#define AT(byte) "!t: pickle at byte " #byte ": "

static const struct row rows[] = {
	/* nothing, and stop */
	{ 0, P(""), AT(0) ENDS },
	{ 'N', P("N."), "None" },
	{ 'N', P("N"), AT(1) ENDS },
	{ '.', P("."), AT(0) "STOP needs 1 object on the stack, there are 0" },
	{ '.', P("N(."), AT(2) "STOP needs 1 object on the stack, there are 0" },
	{ '.', P("NI01\n."), "True" },
	{ 0, P("\xff."), AT(0) "no opcode is 0xff" },
	{ 0, P("NZ."), AT(1) "no opcode is 0x5a" },

	/* numbers */
	{ 'I', P("I0\n."), "0" },
	{ 'I', P("I-123\n."), "-123" },
	{ 'I', P("I+5\r\n."), "5" },
	{ 'I', P("I00\n."), "False" },
	{ 'I', P("I01\n."), "True" },
	{ 'I', P("I0x1F\n."), "31" },
	{ 'I', P("I-0o17\n."), "-15" },
	{ 'I', P("I0b101\n."), "5" },
	{ 'I', P("I9223372036854775807\n."), "9223372036854775807" },
	{ 'I', P("I9223372036854775808\n."), "int:008000000000000000" },
	{ 'I', P("I\n."), AT(0) "INT is written \"\" (0 characters), an integer has at most 4300 "
			  "digits and no leading zeros" },
	{ 'I', P("I007\n."), AT(0) "INT is written \"007\" (3 characters), an integer has at most "
			     "4300 digits and no leading zeros" },
	{ 'I', P("I1x\n."), AT(0) "INT is written \"1x\" (2 characters), an integer has at most "
			    "4300 digits and no leading zeros" },
	{ 'I', P("I0x\n."), AT(0) "INT is written \"0x\" (2 characters), an integer has at most "
			    "4300 digits and no leading zeros" },
	{ 'I', P("I0x-1\n."), AT(0) "INT is written \"0x-1\" (4 characters), an integer has at most "
			      "4300 digits and no leading zeros" },
	{ 'I', P("I12"), AT(0) ENDS },
	{ 'J', P("J\x01\x02\x00\x80."), "-2147483135" },
	{ 'J', P("J\xff\xff\xff\x7f."), "2147483647" },
	{ 'J', P("J\xff\xff."), AT(0) ENDS },
	{ 'K', P("K\x00."), "0" },
	{ 'K', P("K\xff."), "255" },
	{ 'M', P("M\xff\xff."), "65535" },
	{ 'L', P("L12L\n."), "12" },
	{ 'L', P("L-9223372036854775808L\n."), "-9223372036854775808" },
	{ 'L', P("L-9223372036854775809L\n."), "int:ff7fffffffffffffff" },
	{ 'L', P("L340282366920938463463374607431768211456\n."),
	  "int:0100000000000000000000000000000000" },
	{ 'L', P("LL\n."), AT(0) "LONG is written \"\" (0 characters), an integer has at most 4300 "
			   "digits and no leading zeros" },
	{ 0x8a, P("\x8a\x00."), "0" },
	{ 0x8a, P("\x8a\x01\xff."), "-1" },
	{ 0x8a, P("\x8a\x02\xff\x00."), "255" },
	{ 0x8a, P("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."), "-9223372036854775808" },
	{ 0x8a, P("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00."), "int:008000000000000000" },
	{ 0x8a, P("\x8a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff."), "-1" },
	{ 0x8a, P("\x8a\x05\x01."), AT(0) "LONG1 of 5 bytes, 2 " LEFT },
	{ 0x8b, P("\x8b\x02\x00\x00\x00\x00\x01."), "256" },
	{ 0x8b, P("\x8b\xff\xff\xff\xff."), AT(0) "LONG4 of -1 bytes, a length is not negative" },
	{ 0x8b, P("\x8b\xff\xff\xff\x7f."),
	  AT(0) "LONG4 of 2147483647 bytes, 1 " LEFT },
	{ 'F', P("F1.5\n."), "1.5" },
	{ 'F', P("F-1e+300\n."), "-1.0000000000000001e+300" },
	{ 'F', P("Fnan\n."), "nan" },
	{ 'F', P("F-inf\n."), "-inf" },
	{ 'F', P("F0x1p3\n."), AT(0) "FLOAT is written \"0x1p3\", which is no number" },
	{ 'F', P("F1.5a\n."), AT(0) "FLOAT is written \"1.5a\", which is no number" },
	{ 'F', P("F\n."), AT(0) "FLOAT is written \"\", which is no number" },
	{ 'F', P("F1\0002\n."), AT(0) "FLOAT is written \"1\", which is no number" },
	{ 'G', P("G\x3f\xf8\x00\x00\x00\x00\x00\x00."), "1.5" },
	{ 'G', P("G\xc0\x5e\xdd\x2f\x1a\x9f\xbe\x77."), "-123.456" },
	{ 0x88, P("\x88."), "True" },
	{ 0x89, P("\x89."), "False" },

	/* strings and bytes */
	{ 'S', P("S'abc'\n."), "'abc'" },
	{ 'S', P("S\"it's\"\n."), "'it\\'s'" },
	{ 'S', P("S'a\\n\\t\\\\\\'\\x41\\101\\7\\q\\08'\n."), "'a\\n\\t\\\\\\'AA\\x07\\\\q\\x008'" },
	{ 'S', P("S'\\xc3\\xa4'\n."), "'\xc3\xa4'" },
	{ 'S', P("S'\\xff\\x00'\n."), "b'\\xff\\x00'" },
	{ 'S', P("S''\n."), "''" },
	{ 'S', P("S'abc\n."), AT(0) "STRING is not in quotes" },
	{ 'S', P("S'\n."), AT(0) "STRING is not in quotes" },
	{ 'S', P("S\n."), AT(0) "STRING is not in quotes" },
	{ 'S', P("S'a\\'\n."), AT(0) "STRING ends with a backslash" },
	{ 'S', P("S'\\x4'\n."), AT(0) "STRING has \\x without two hexadecimal digits" },
	{ 'S', P("S'\\xg0'\n."), AT(0) "STRING has \\x without two hexadecimal digits" },
	{ 'T', P("T\x03\x00\x00\x00" "abc."), "'abc'" },
	{ 'T', P("T\x02\x00\x00\x00\xff\xfe."), "b'\\xff\\xfe'" },
	{ 'T', P("T\xff\xff\xff\xff" "abc."), AT(0) "BINSTRING of -1 bytes, a length is not negative" },
	{ 'T', P("T\x05\x00\x00\x00" "abc."), AT(0) "BINSTRING of 5 bytes, 4 " LEFT },
	{ 'U', P("U\x03" "abc."), "'abc'" },
	{ 'U', P("U\x00."), "''" },
	{ 'U', P("U\x01\x80."), "b'\\x80'" },
	{ 'V', P("Vabc\n."), "'abc'" },
	{ 'V', P("V\xe4\\u20ac\\U0001f600\\n\n."), "'\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\\\\n'" },
	{ 'V', P("V\\\\u0041\\ud800\n."), "'\\\\\\\\u0041\xed\xa0\x80'" },
	{ 'V', P("V\\\n."), "'\\\\'" },
	{ 'V', P("V\n."), "''" },
	{ 'V', P("V\\u12\n."), AT(0) "UNICODE has \\u without the 4 hexadecimal digits of a character" },
	{ 'V', P("V\\U00110000\n."),
	  AT(0) "UNICODE has \\U without the 8 hexadecimal digits of a character" },
	{ 'X', P("X\x02\x00\x00\x00\xc3\xa4."), "'\xc3\xa4'" },
	{ 'X', P("X\x03\x00\x00\x00\xed\xa0\x80."), "'\xed\xa0\x80'" },
	{ 'X', P("X\x02\x00\x00\x00\xc3\x28."), AT(0) "BINUNICODE is not UTF-8" },
	{ 'X', P("X\xff\xff\xff\xff" "a."),
	  AT(0) "BINUNICODE of 4294967295 bytes, 2 " LEFT },
	{ 0x8c, P("\x8c\x01" "a."), "'a'" },
	{ 0x8c, P("\x8c\x02\xed\xa0."), AT(0) "SHORT_BINUNICODE is not UTF-8" },
	{ 0x8d, P("\x8d\x01\x00\x00\x00\x00\x00\x00\x00" "a."), "'a'" },
	{ 0x8d, P("\x8d\x00\x00\x00\x00\x00\x00\x00\x80" "a."),
	  AT(0) "BINUNICODE8 of 9223372036854775808 bytes, 2 " LEFT },
	{ 0x8d, P("\x8d\xff\xff\xff\xff\xff\xff\xff\xff" "a."),
	  AT(0) "BINUNICODE8 of 18446744073709551615 bytes, 2 " LEFT },
	{ 'B', P("B\x02\x00\x00\x00\x00\xff."), "b'\\x00\\xff'" },
	{ 'B', P("B\x03\x00\x00\x00\x00\xff"), AT(0) "BINBYTES of 3 bytes, 2 " LEFT },
	{ 'C', P("C\x02hi."), "b'hi'" },
	{ 'C', P("C\x00."), "b''" },
	{ 0x8e, P("\x8e\x02\x00\x00\x00\x00\x00\x00\x00hi."), "b'hi'" },
	{ 0x8e, P("\x8e\xff\xff\xff\xff\xff\xff\xff\xffhi."),
	  AT(0) "BINBYTES8 of 18446744073709551615 bytes, 3 " LEFT },
	{ 0x96, P("\x96\x02\x00\x00\x00\x00\x00\x00\x00hi."), "bytearray(b'hi')" },
	{ 0x96, P("\x96\x03\x00\x00\x00\x00\x00\x00\x00hi"),
	  AT(0) "BYTEARRAY8 of 3 bytes, 2 " LEFT },
	{ 0x97, P("\x97."), "!t: pickle at byte 0: NEXT_BUFFER, but out-of-band data is not in the "
			    "file" },
	{ 0x98, P("C\x00\x98."), "!t: pickle at byte 2: READONLY_BUFFER, but out-of-band data is "
				 "not in the file" },

	/* tuples, lists, sets, dicts */
	{ ')', P(")."), "()" },
	{ 't', P("(t."), "()" },
	{ 't', P("(NK\x01t."), "(None, 1)" },
	{ 't', P("Nt."), AT(1) "TUPLE without a MARK before it" },
	{ 0x85, P("N\x85."), "(None,)" },
	{ 0x85, P("N(\x85."), AT(2) "TUPLE1 needs 1 object on the stack, there are 0" },
	{ 0x86, P("NK\x01\x86."), "(None, 1)" },
	{ 0x86, P("N\x86."), AT(1) "TUPLE2 needs 2 objects on the stack, there is 1" },
	{ 0x87, P("NK\x01K\x02\x87."), "(None, 1, 2)" },
	{ ']', P("]."), "[]" },
	{ 'l', P("(lp0\nI1\naI2\na."), "[1, 2]" },
	{ 'l', P("(NNl."), "[None, None]" },
	{ 'a', P("]K\x01" "aK\x02" "aK\x03" "aK\x04" "aK\x05" "a."), "[1, 2, 3, 4, 5]" },
	{ 'a', P("K\x01Na."), AT(3) "APPEND on an integer, must be a list" },
	{ 'a', P(")Na."), AT(2) "APPEND on a tuple, must be a list" },
	{ 'a', P("}Na."), AT(2) "APPEND on a dict, must be a list" },
	{ 'e', P("](K\x01K\x02" "e(K\x03" "e(e."), "[1, 2, 3]" },
	{ 'e', P("]Ne."), AT(2) "APPENDS without a MARK before it" },
	{ 'e', P("(Ne."), AT(2) "APPENDS needs 1 object on the stack, there are 0" },
	{ 'e', P("N(Ne."), AT(3) "APPENDS on None, must be a list" },
	{ 'e', P("N(e."), AT(2) "APPENDS on None, must be a list" },
	{ '}', P("}."), "{}" },
	{ 'd', P("(d."), "{}" },
	{ 'd', P("(K\x01NVa\nK\x02" "d."), "{1: None, 'a': 2}" },
	{ 'd', P("(Nd."), AT(2) "DICT of 1 objects, keys and values come in pairs" },
	{ 's', P("}K\x01Ns."), "{1: None}" },
	{ 's', P("}K\x01NsK\x01K\x02s."), "{1: None, 1: 2}" },
	{ 's', P("K\x05K\x01Ns."), AT(5) "SETITEM on an integer, must be a dict" },
	{ 's', P("]K\x01Ns."), AT(4) "SETITEM on a list, must be a dict" },
	{ 's', P("]Ns."), AT(2) "SETITEM needs 3 objects on the stack, there are 2" },
	{ 'u', P("}(K\x01NK\x02Nu."), "{1: None, 2: None}" },
	{ 'u', P("}(K\x01u."), AT(4) "SETITEMS of 1 objects, keys and values come in pairs" },
	{ 'u', P("C\x01" "a(NNu."), AT(6) "SETITEMS on bytes, must be a dict" },
	{ 0x8f, P("\x8f."), "set()" },
	{ 0x90, P("\x8f(K\x01K\x02\x90."), "set(1, 2)" },
	{ 0x90, P("](K\x01\x90."), AT(4) "ADDITEMS on a list, must be a set" },
	{ 0x91, P("(K\x01K\x02\x91."), "frozenset(1, 2)" },
	{ 0x91, P("(\x91(N\x90."), AT(4) "ADDITEMS on a frozenset, must be a set" },

	/* stack and memo */
	{ '(', P("(N."), "None" },
	{ '0', P("NK\x01" "0."), "None" },
	{ '0', P("N(0."), "None" },
	{ '0', P("0."), AT(0) "POP needs an object on the stack, there is none" },
	{ '1', P("N(NN1."), "None" },
	{ '1', P("N1."), AT(1) "POP_MARK without a MARK before it" },
	{ '2', P("K\x01" "2\x86."), "(1, 1)" },
	{ '2', P("(2."), AT(1) "DUP needs 1 object on the stack, there are 0" },
	{ 'p', P("]p0\nI1\nag0\n\x86."), "([1], [1])" },
	{ 'g', P("]p0\nN\x86g0\nN\x86\x86."), "(([], None), ([], None))" },
	{ 'g', P("Ng7\n."), AT(1) "GET 7, nothing was put there" },
	{ 'g', P("Ng-1\n."), AT(1) "GET of \"-1\", must be a number that is not negative" },
	{ 'p', P("Np-1\n."), AT(1) "PUT of \"-1\", must be a number that is not negative" },
	{ 'p', P("Np99999999999999999999\n."),
	  AT(1) "PUT of \"99999999999999999999\", must be a number that is not negative" },
	{ 'p', P("p0\n."), AT(0) "PUT needs 1 object on the stack, there are 0" },
	{ 'p', P("K\x07p18446744073709551615\n0g18446744073709551615\n."), "7" },
	{ 'q', P("]q\x05K\x01" "ah\x05\x86."), "([1], [1])" },
	{ 'q', P("K\x09q\x05" "0h\x05."), "9" },
	{ 'h', P("Nh\x01."), AT(1) "BINGET 1, nothing was put there" },
	{ 'r', P("K\x09r\xff\xff\xff\xff" "0j\xff\xff\xff\xff."), "9" },
	{ 'j', P("Nj\x00\x00\x00\x01."), AT(1) "LONG_BINGET 16777216, nothing was put there" },
	/* a far number that is near once the memo has grown is still found */
	{ 'r', P("K\x09r\x50\x00\x00\x00" "0Nq\x00q\x01q\x02q\x03q\x04q\x05q\x06q\x07q\x08q\x09q\x0a"
		 "0h\x50."), "9" },
	{ 0x94, P("K\x09\x94" "0K\x08\x94" "0h\x00h\x01\x86."), "(9, 8)" },
	{ 0x94, P("K\x09q\x00q\x00\x94" "0h\x01."), "9" },
	{ 0x94, P("\x94."), AT(0) "MEMOIZE needs 1 object on the stack, there are 0" },
	/* what is put there is the object, not what it was then */
	{ 0, P("]q\x00h\x00\x86q\x01" "0h\x00K\x01" "a0h\x01."), "([1], [1])" },
	{ 0, P("]q\x00\x85q\x01" "0h\x00K\x01" "a0h\x01."), "([1],)" },
	{ 0, P("}q\x00\x85(h\x00(K\x01K\x02u0t0."), "({1: 2},)" },

	/* globals and objects */
	{ 'c', P("cos\nsystem\n."), "os.system" },
	{ 'c', P("cos\nsys\0tem\n."), AT(0) "GLOBAL has a name that is not UTF-8 or holds a NUL or a "
				      "line break" },
	{ 'c', P("c\xff\nx\n."), AT(0) "GLOBAL has a name that is not UTF-8 or holds a NUL or a "
				 "line break" },
	{ 'c', P("cos\nsystem."), AT(0) ENDS },
	{ 0x93, P("\x8c\x02os\x8c\x06system\x93."), "os.system" },
	{ 0x93, P("\x8c\x03o\ns\x8c\x06system\x93."), AT(13) "STACK_GLOBAL has a name that is not "
						       "UTF-8 or holds a NUL or a line break" },
	{ 0x93, P("\x8c\x02osN\x93."), AT(5) "STACK_GLOBAL of a string and None, must be two strings" },
	{ 'R', P("cos\nsystem\n(Vls\ntR."), "os.system('ls',)" },
	{ 'R', P("cos\nsystem\n]R."), AT(12) "REDUCE with a list for arguments, must be a tuple" },
	{ 'R', P("K\x01)R."), AT(3) "REDUCE calls an integer, must be a class or a function" },
	{ 'R', P("ca\nb\n)R)R."), "a.b()()" },
	{ 0x81, P("ca\nB\nN\x85\x81."), "new a.B(None,)" },
	{ 0x81, P("ca\nB\n}\x81."), AT(6) "NEWOBJ with a dict for arguments, must be a tuple" },
	{ 0x81, P("V\n)\x81."), AT(3) "NEWOBJ calls a string, must be a class or a function" },
	{ 0x92, P("ca\nB\n)}Vk\nK\x01s\x92."), "new a.B()**{'k': 1}" },
	{ 0x92, P("ca\nB\n))\x92."), AT(7) "NEWOBJ_EX with a tuple for keyword arguments, must be a "
				     "dict" },
	{ 'i', P("(K\x01ia\nB\n."), "a.B(1,)" },
	{ 'i', P("ia\nB\n."), AT(0) "INST without a MARK before it" },
	{ 'o', P("(ca\nB\nK\x01o."), "a.B(1,)" },
	{ 'o', P("(o."), AT(1) "OBJ without a class after its MARK" },
	{ 'o', P("(No."), AT(2) "OBJ calls None, must be a class or a function" },
	{ 'b', P("ca\nB\n)\x81}Vx\nNsb."), "new a.B()|{'x': None}" },
	{ 'b', P("ca\nB\n)\x81}K\x01Nsb}K\x02Nsb."), "new a.B()|{1: None, 2: None}" },
	{ 'b', P("ca\nB\n)\x81}K\x01NsbK\x05" "b."), "new a.B()|5" },
	{ 'b', P("ca\nB\nK\x05" "b."), "?(a.B,)|5" },
	{ 'b', P("Vid\nQK\x05" "b."), "?(persistent('id'),)|5" },
	{ 'b', P("]}b."), "[]" },
	{ 'b', P("]}NNsb."), AT(5) "BUILD sets the state of a list, must be an object" },
	{ 's', P("ca\nB\n)RK\x01Ns(NNu."), "a.B(){1: None, None: None}" },
	{ 'P', P("Pmodel\n."), "persistent('model')" },
	{ 'P', P("P\xff\n."), AT(0) "PERSID is not UTF-8" },
	{ 'Q', P("(Vstorage\nK\x01tQ."), "persistent(('storage', 1))" },
	{ 'Q', P("Q."), AT(0) "BINPERSID needs 1 object on the stack, there are 0" },
	{ 0x82, P("\x82\x07."), "!t: pickle at byte 0: EXT1 7 is a code of an extension registry "
				"that is not in the file" },
	{ 0x83, P("\x83\x07\x01."), "!t: pickle at byte 0: EXT2 263 is a code of an extension "
				    "registry that is not in the file" },
	{ 0x84, P("\x84\xff\xff\xff\xff."), "!t: pickle at byte 0: EXT4 -1 is a code of an extension "
					    "registry that is not in the file" },

	/* protocols and frames */
	{ 0x80, P("\x80\x02N."), "None" },
	{ 0x80, P("\x80\x05N."), "None" },
	{ 0x80, P("\x80\x06N."), "!t: pickle at byte 0: protocol 6, 0 to 5 are known" },
	{ 0x95, P("\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N."), "None" },
	{ 0x95, P("\x80\x04\x95\x01\x00\x00\x00\x00\x00\x00\x00N."), "None" },
	{ 0x95, P("\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00N."),
	  AT(2) "FRAME of 3 bytes, 2 " LEFT },
	{ 0x95, P("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN."),
	  AT(2) "FRAME of 18446744073709551615 bytes, 2 " LEFT },

	/* what containers of Python's library become */
	{ 0, P("c__builtin__\nlist\n)R."), "[]" },
	{ 0, P("cbuiltins\nlist\n(NK\x01t\x85R."), "[None, 1]" },
	{ 0, P("cbuiltins\nlist\n(NK\x01t\x85RK\x02" "aK\x03" "a."), "[None, 1, 2, 3]" },
	{ 0, P("cbuiltins\nlist\nK\x01\x85R."), "builtins.list(1,)" },
	{ 0, P("c__builtin__\nset\n(lNa\x85R."), "set(None)" },
	{ 0, P("cbuiltins\nfrozenset\n]Na\x85R."), "frozenset(None)" },
	{ 0, P("cbuiltins\ntuple\n]Na\x85R."), "(None,)" },
	{ 0, P("cbuiltins\ndict\n](NK\x01\x86(K\x02Nle\x85R."), "{None: 1, 2: None}" },
	{ 0, P("cbuiltins\ndict\n]Na\x85R."), "builtins.dict([None],)" },
	{ 0, P("cbuiltins\ndict\n}NNs\x85RK\x01Ns."), "{None: None, 1: None}" },
	{ 0, P("cbuiltins\nbytearray\nC\x02hi\x85R."), "bytearray(b'hi')" },
	{ 0, P("cbuiltins\nbytearray\nV\xff" "a\nVlatin-1\n\x86R."), "bytearray(b'\\xffa')" },
	{ 0, P("cbuiltins\nbytearray\n)R."), "bytearray(b'')" },
	{ 0, P("c__builtin__\nbytes\n)R."), "b''" },
	{ 0, P("cbuiltins\nbytes\n](K\x01K\xff" "e\x85R."), "b'\\x01\\xff'" },
	{ 0, P("cbuiltins\nbytes\n](M\x00\x01" "e\x85R."), "builtins.bytes([256],)" },
	{ 0, P("c_codecs\nencode\nV\xe4\\u00ff\nVlatin1\n\x86R."), "b'\\xe4\\xff'" },
	{ 0, P("c_codecs\nencode\nV\\u20ac\nVlatin1\n\x86R."), "_codecs.encode('\xe2\x82\xac', 'latin1')" },
	{ 0, P("c_codecs\nencode\nV\\u20ac\nVutf-8\n\x86R."), "b'\\xe2\\x82\\xac'" },
	{ 0, P("c_codecs\nencode\nV\\u20ac\n\x85R."), "b'\\xe2\\x82\\xac'" },
	{ 0, P("c_codecs\nencode\nVa\nVrot13\n\x86R."), "_codecs.encode('a', 'rot13')" },
	{ 0, P("c__builtin__\ncomplex\nF1\nF-2\n\x86R."), "__builtin__.complex(1.0, -2.0)" },
	{ 0, P("ccollections\nOrderedDict\n)RK\x01Ns."), "collections.OrderedDict(){1: None}" },
	{ 0, P("ccollections\nOrderedDict\n(lp1\n(lp2\nVa\naI1\naa\x85R."),
	  "collections.OrderedDict(){'a': 1}" },
	{ 0, P("ccollections\nOrderedDict\n]Na\x85R."), "collections.OrderedDict([None],)" },
	{ 0, P("ccollections\nCounter\n}Va\nK\x02s\x85R."), "collections.Counter(){'a': 2}" },
	{ 0, P("ccollections\ndefaultdict\nc__builtin__\nlist\n\x85RNNs."),
	  "collections.defaultdict(__builtin__.list,){None: None}" },
	{ 0, P("ccollections\ndefaultdict\nN}NK\x01s\x86R."), "collections.defaultdict(None,){None: 1}" },
	{ 0, P("ccollections\ndeque\n)RNa."), "collections.deque()[None]" },
	{ 0, P("ccollections\ndeque\n]Na\x85R."), "collections.deque()[None]" },
	{ 0, P("ccollections\ndeque\n]NaK\x05\x86R."), "collections.deque((), 5)[None]" },
	{ 0, P("ccopy_reg\n_reconstructor\n(ca\nB\nc__builtin__\nobject\nNtR}K\x01Nsb."),
	  "new a.B()|{1: None}" },
	{ 0, P("ccopyreg\n_reconstructor\n(ca\nB\ncbuiltins\ndict\n}K\x01NstR."), "new a.B(){1: None}" },
	{ 0, P("ccopyreg\n_reconstructor\n(ca\nB\ncbuiltins\nlist\n]K\x01" "atR."), "new a.B()[1]" },
	{ 0, P("ccopyreg\n_reconstructor\n(ca\nB\ncbuiltins\nint\nK\x01tR."), "new a.B(1,)" },
	{ 0, P("ccopyreg\n_reconstructor\n)R."), "copyreg._reconstructor()" },
	{ 0, P("ccopyreg\n__newobj__\n(ca\nB\nK\x01tR."), "new a.B(1,)" },
	{ 0, P("ccopyreg\n__newobj__\n)R."), "copyreg.__newobj__()" },
	{ 0, P("ccopyreg\n__newobj_ex__\nca\nB\n)}\x87R."), "new a.B()**{}" },
	{ 0, P("ca\nB\n)\x81(K\x01K\x02" "e."), "new a.B()[1, 2]" },
	{ 0, P("ca\nB\n)\x81(K\x01\x90."), "new a.B()[1]" },

	/* cycles */
	{ 0, P("]q\x00h\x00" "a."), "[...]" },
	{ 0, P("}q\x00K\x01h\x00s."), "{1: ...}" },
	{ 0, P("(h\x00t."), AT(1) "BINGET 0, nothing was put there" },
	{ 0, P("]q\x00\x85q\x01" "0h\x00h\x01" "a0h\x01."), "([...],)" },
	{ 0, P("ca\nB\n)\x81q\x00h\x00" "b."), "new a.B()|..." },
};

/* ---- the graph as text, with what JSON leaves out ---- */

static const struct value *path[64];
static size_t depth;

static void show(const struct value *v, struct text *t);

static void show_bytes(const char *s, size_t n, bool plain, struct text *t)
{
	text_char(t, '\'');
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\' || s[i] == '\'')
			text_printf(t, "\\%c", s[i]);
		else if (s[i] == '\n' || s[i] == '\t')
			text_str(t, s[i] == '\n' ? "\\n" : "\\t");
		else if ((s[i] & 0x80 && !plain) || (s[i] >= 0 && s[i] < ' '))
			text_printf(t, "\\x%02x", (uint8_t)s[i]);
		else
			text_char(t, s[i]);
	}
	text_char(t, '\'');
}

static void show_range(const struct value *v, struct text *t)
{
	char bytes[256];

	text_str(t, v->n ? "bytearray(b" : "b");
	if (v->bytes->size > sizeof bytes ||
	    range_read_all(*v->bytes, 0, v->bytes->size, bytes, NULL))
		text_str(t, "?");
	else
		show_bytes(bytes, v->bytes->size, false, t);
	text_str(t, v->n ? ")" : "");
}

static void show_items(const char *open, const struct value *v, const char *close, struct text *t)
{
	text_str(t, open);
	for (size_t i = 0; i < v->n; i++) {
		text_str(t, i ? ", " : "");
		show(v->items[i], t);
	}
	text_str(t, v->kind == VALUE_TUPLE && v->n == 1 ? "," : "");
	text_str(t, close);
}

static void show_map(const struct value *v, struct text *t)
{
	text_char(t, '{');
	for (size_t i = 0; i < v->n; i++) {
		text_str(t, i ? ", " : "");
		show(v->items[2 * i], t);
		text_str(t, ": ");
		show(v->items[2 * i + 1], t);
	}
	text_char(t, '}');
}

static void show_part(const char *before, const struct value *v, struct text *t)
{
	if (!v)
		return;
	text_str(t, before);
	show(v, t);
}

/* new CLASS(args)**kwargs|state[list]{map} */
static void show_record(const struct record *r, struct text *t)
{
	text_str(t, r->newobj ? "new " : "");
	if (r->callable)
		show(r->callable, t);
	else
		text_char(t, '?');
	show_part("", r->args, t);
	show_part("**", r->kwargs, t);
	show_part("|", r->state, t);
	show_part("", r->list, t);
	show_part("", r->map, t);
}

static void show_container(const struct value *v, struct text *t)
{
	switch (v->kind) {
	case VALUE_LIST:
		return show_items("[", v, "]", t);
	case VALUE_TUPLE:
		return show_items("(", v, ")", t);
	case VALUE_SET:
		return show_items("set(", v, ")", t);
	case VALUE_FROZENSET:
		return show_items("frozenset(", v, ")", t);
	case VALUE_PERSISTENT:
		return show_items("persistent(", v, ")", t);
	case VALUE_MAP:
		return show_map(v, t);
	default:
		return show_record(v->record, t);
	}
}

static void show(const struct value *v, struct text *t)
{
	switch (v->kind) {
	case VALUE_NULL:
		return text_str(t, "None");
	case VALUE_BOOL:
		return text_str(t, v->i ? "True" : "False");
	case VALUE_INT:
		return text_printf(t, "%" PRId64, v->i);
	case VALUE_FLOAT:
		return text_printf(t, v->f == (double)(int)v->f ? "%.1f" : "%.17g", v->f);
	case VALUE_STRING:
		return show_bytes(v->s, v->n, true, t);
	case VALUE_BYTES:
		return show_range(v, t);
	case VALUE_BIGINT:
		text_str(t, "int:");
		for (size_t i = v->n; i-- > 0;)
			text_printf(t, "%02x", (uint8_t)v->s[i]);
		return;
	case VALUE_GLOBAL:
		text_add(t, v->s, value_module_size(v));
		return text_printf(t, ".%s", value_name(v));
	case VALUE_TENSOR:
		return text_printf(t, "tensor(%" PRIu64 ")", v->tensor);
	default:
		break;
	}
	for (size_t i = 0; i < depth; i++)
		if (path[i] == v)
			return text_str(t, "...");
	if (depth == ARRAY_SIZE(path))
		return text_str(t, "deep");
	path[depth++] = v;
	show_container(v, t);
	depth--;
}

/* ---- running one ---- */

/* What rows[].want says of it, in t; also that a copy of the graph is equal. */
static void run(const void *pickle, size_t n, const struct pickle_options *o, struct text *t)
{
	_cleanup_arena_ struct arena *file = arena_new(), *to = arena_new();
	struct arena *a = arena_new(); /* gone before its copy is looked at */
	struct pickle p = { 0 };
	struct error err = { 0 };
	struct value *copy = NULL;
	_cleanup_text_ struct text again = TEXT_INIT;
	int r = pickle_load(a, make_literal(file, pickle, n), 0, "t", o, &p, &err);

	if (r < 0) {
		CHECK(err.code == -r, "%d without its sentence", r);
		text_printf(t, "!%s", err.text);
		arena_put(a);
		return;
	}
	CHECK(p.size <= n, "%" PRIu64 " bytes of %zu", p.size, n);
	show(p.root, t);
	r = value_copy(to, p.root, &copy, &err);
	CHECK(r == 0, "copy: %s", err.text);
	arena_put(a);
	if (r < 0)
		return;
	show(copy, &again);
	CHECK(again.n == t->n && !memcmp(again.s, t->s, t->n), "copy of %s: %s", t->s, again.s);
}

static void test_rows(void)
{
	bool tested[256] = { false };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_text_ struct text t = TEXT_INIT;

		run(rows[i].pickle, rows[i].n, NULL, &t);
		CHECK(!strcmp(t.s, rows[i].want), "row %zu: %s, not %s", i, t.s, rows[i].want);
		tested[rows[i].op] = true;
	}
	/* every opcode of protocols 0 to 5 has a row */
	for (const char *p = "(.012FIJKLMNPQRSTUVXabcd}eghijl]opqrstu)GBC"; *p; p++)
		CHECK(tested[(uint8_t)*p], "opcode %c", *p);
	for (int op = 0x80; op <= 0x98; op++)
		CHECK(tested[op], "opcode 0x%02x", op);
	/* and no other byte is one */
	for (int op = 0; op < 256; op++) {
		char pickle[] = { (char)op, 0 };
		_cleanup_text_ struct text t = TEXT_INIT;

		if (tested[op] && op)
			continue;
		run(pickle, 1, NULL, &t);
		CHECK(strstr(t.s, "no opcode is"), "0x%02x: %s", op, t.s);
	}
}

/* A made-up checkpoint with most of what a pickle can hold. */
static const char medium[] =
	"\x80\x02}q\x00(X\x05\x00\x00\x00modelq\x01" "ccollections\nOrderedDict\nq\x02)Rq\x03"
	"(X\x06\x00\x00\x00weightq\x04" "ctorch._utils\n_rebuild_tensor_v2\nq\x05((X\x07\x00\x00\x00"
	"storageq\x06" "ctorch\nFloatStorage\nq\x07X\x01\x00\x00\x00" "0q\x08X\x03\x00\x00\x00" "cpuq\x09"
	"K\x06tq\x0aQK\x00K\x02K\x03\x86q\x0bK\x03K\x01\x86q\x0c\x89h\x02)Rq\x0dtq\x0eRq\x0f"
	"u}q\x10X\x09\x00\x00\x00_metadataq\x11h\x02)Rq\x12sb"
	"X\x02\x00\x00\x00lrq\x13G?\xf0\x00\x00\x00\x00\x00\x00"
	"X\x01\x00\x00\x00nq\x14\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	"X\x01\x00\x00\x00tq\x15S'a\\x00b'\nI12\nF1.5\nVu\\u20ac\nL5L\n\x87\x85\x85\x86\x86"
	"X\x01\x00\x00\x00lq\x16](K\x01M\x00\x02J\xff\xff\xff\xffNe"
	"X\x01\x00\x00\x00sq\x17" "c__builtin__\nset\n]K\x01" "a\x85RC\x02hi\x96\x01\x00\x00\x00\x00\x00"
	"\x00\x00z\x86\x86u.";

/* Cut off anywhere it is refused in words; with any byte changed it is
 * refused, or is something else, but does no harm. */
static void test_cut(void)
{
	enum { N = sizeof medium - 1 };
	char changed[N];

	for (size_t n = 0; n <= N; n++) {
		/* of its own size, so that a sanitizer sees a read past its end */
		_cleanup_free_ char *cut = malloc(n ? n : 1);
		_cleanup_text_ struct text t = TEXT_INIT;

		memcpy(cut, medium, n);
		run(cut, n, NULL, &t);
		CHECK((*t.s == '!') == (n < N), "cut at %zu: %s", n, t.s);
	}
	for (size_t i = 0; i < N; i++) {
		static const uint8_t with[] = {
			0x00, 0x01, 0x7f, 0x80, 0xff, '(', '.', 'R', 'b', 'u',
		};

		for (size_t k = 0; k < sizeof with; k++) {
			_cleanup_text_ struct text t = TEXT_INIT;

			memcpy(changed, medium, N);
			changed[i] = (char)with[k];
			run(changed, N, NULL, &t);
			CHECK(t.n > 0, "byte %zu is 0x%02x: nothing", i, with[k]);
		}
	}
}

/* ---- what is made to do harm ---- */

static void repeat(struct text *t, const char *s, size_t n, size_t times)
{
	while (times--)
		text_add(t, s, n);
}

/* Load, then JSON; what went wrong first, and how much memory the graph took. */
static int load(const struct text *pickle, struct error *err, size_t *ret_memory)
{
	_cleanup_arena_ struct arena *file = arena_new(), *a = arena_new();
	_cleanup_text_ struct text json = TEXT_INIT;
	struct pickle p;
	int r = pickle_load(a, make_literal(file, pickle->s, pickle->n), 0, "t", NULL, &p, err);

	*ret_memory = arena_bytes(a);
	if (r < 0)
		return r;
	return value_to_json(p.root, NULL, &json, err);
}

static void test_deep(void)
{
	static const struct { const char *open, *close; } kinds[] = {
		{ "]", "a" }, { "}N", "s" }, { "(", "t" }, { "ca\nB\n)\x81", "b" }, { "N", "\x85" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_text_ struct text t = TEXT_INIT;
		_cleanup_arena_ struct arena *file = arena_new(), *a = arena_new();
		_cleanup_arena_ struct arena *b = arena_new();
		struct pickle p;
		struct value *copy;
		struct error err = { 0 };
		_cleanup_text_ struct text json = TEXT_INIT;

		repeat(&t, kinds[i].open, strlen(kinds[i].open), 100000);
		text_char(&t, 'N');
		repeat(&t, kinds[i].close, strlen(kinds[i].close), 100000);
		text_char(&t, '.');
		if (!CHECK(!pickle_load(a, make_literal(file, t.s, t.n), 0, "t", NULL, &p, &err),
			   "kind %zu: %s", i, err.text))
			continue;
		CHECK(!value_copy(b, p.root, &copy, &err), "kind %zu: %s", i, err.text);
		CHECK(value_to_json(p.root, NULL, &json, &err) == -EBADMSG, "kind %zu", i);
		CHECK(!strcmp(err.text, "the object graph is more than 400 levels deep, at most "
				      "that is shown"), "kind %zu: %s", i, err.text);
	}
}

/* Ten references to ten references ...: loads at once, and is too much to write. */
static void test_laughs(void)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	struct error err = { 0 };
	size_t memory;

	text_str(&t, "]q");
	text_add(&t, "\0", 1);
	for (int i = 0; i < 30; i++) {
		char get[] = { 'h', (char)i }, put[] = { 'q', (char)(i + 1) };

		text_char(&t, '(');
		repeat(&t, get, 2, 10);
		text_char(&t, 't');
		text_add(&t, put, 2);
	}
	text_char(&t, '.');
	CHECK(load(&t, &err, &memory) == -EBADMSG, "ten to the power of thirty");
	CHECK(!strcmp(err.text, "the object graph has more than 4000000 values, at most that are "
			      "shown"), "%s", err.text);
	CHECK(memory < 1 << 20, "%zu bytes", memory);
}

/* Each is less than 1 MiB: whatever it does, not over 64 MiB. */
static void test_bombs(void)
{
	static const struct {
		const char *name, *head;
		size_t head_n;
		const char *body;
		size_t body_n;
	} bombs[] = {
		{ "marks", P(""), P("(") },
		{ "lists", P(""), P("]") },
		{ "tuples in tuples", P("N"), P("\x85") },
		{ "persistent ids", P("N"), P("Q") },
		{ "records", P("ca\nB\n"), P(")R") },
		{ "records again", P("ca\nB\nq\x00"), P("h\x00)\x81") },
		{ "sets of records", P("ca\nB\nq\x00"), P("h\x00)\x81NNs") },
		{ "memo", P("N"), P("\x94") },
		{ "far memo", P("N"), P("r\xff\xff\xff\x7fr\xfe\xff\xff\x7fr\x00\x00\x01\x00") },
		{ "bytes", P(""), P("C\x00") },
		{ "integers", P(""), P("J\xff\xff\xff\xff") },
		{ "appends", P("]"), P("Na") },
		{ "items", P("}"), P("NNs") },
		{ "frozensets", P(""), P("(\x91") },
		{ "empty globals", P(""), P("c\n\n") },
		{ "floats", P(""), P("F1\n") },
		{ "big integers", P(""), P("\x8a\x09\x01\x01\x01\x01\x01\x01\x01\x01\x01") },
		{ "encoded", P("c_codecs\nencode\nq\x00"), P("h\x00V\xff\nVlatin1\n\x86R") },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bombs); i++) {
		_cleanup_text_ struct text t = TEXT_INIT;
		struct error err = { 0 };
		size_t memory;

		text_add(&t, bombs[i].head, bombs[i].head_n);
		repeat(&t, bombs[i].body, bombs[i].body_n, (1 << 20) / bombs[i].body_n);
		CHECK(load(&t, &err, &memory) == -EBADMSG, "%s: no STOP", bombs[i].name);
		CHECK(memory < 64 << 20, "%s: %zu bytes", bombs[i].name, memory);
	}
}

/* What is read once is copied again and again: the limit ends it. */
static void test_copies(void)
{
	static const struct { const char *name, *make, *again; } kinds[] = {
		{ "encode", "c_codecs\nencode\n", "R0" },
		{ "list", "cbuiltins\nlist\n", "RNa0" },
		{ "dict", "cbuiltins\ndict\n", "RNNs0" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_text_ struct text t = TEXT_INIT;
		struct error err = { 0 };
		size_t memory;

		text_printf(&t, "%sq%c0", kinds[i].make, 1);
		if (i == 0) {
			text_str(&t, "V");
			repeat(&t, "x", 1, 300000);
			text_str(&t, "\n");
		} else if (i == 1) {
			text_str(&t, "(");
			repeat(&t, "N", 1, 300000);
			text_str(&t, "l");
		} else {
			text_str(&t, "(");
			repeat(&t, "NN", 2, 150000);
			text_str(&t, "d");
		}
		text_printf(&t, "\x85q%c0", 2);
		for (int k = 0; k < 50000; k++)
			text_printf(&t, "h%ch%c%s", 1, 2, kinds[i].again);
		text_str(&t, "N.");
		CHECK(load(&t, &err, &memory) == -EBADMSG, "%s", kinds[i].name);
		CHECK(strstr(err.text, "bytes of memory, which is the limit for the "),
		      "%s: %s", kinds[i].name, err.text);
		CHECK(memory < 64 << 20, "%s: %zu bytes", kinds[i].name, memory);
	}
}

/* ---- big things stay in the file ---- */

static void test_ranges(void)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	_cleanup_arena_ struct arena *file = arena_new(), *a = arena_new();
	struct pickle p;
	struct error err = { 0 };
	struct range range;
	const struct value *item;
	size_t at[3];

	text_str(&t, "before");
	text_add(&t, P("\x80\x03]q\x00(B\x00\x00\x20\x00"));
	at[0] = t.n;
	repeat(&t, "ab", 2, 1 << 20);
	text_add(&t, P("T\x00\x00\x02\x00"));
	at[1] = t.n;
	repeat(&t, "cd", 2, 1 << 16);
	text_add(&t, P("\x96\x03\x00\x00\x00\x00\x00\x00\x00"));
	at[2] = t.n;
	text_add(&t, P("xyzX\x00\x00\x02\x00"));
	repeat(&t, "ef", 2, 1 << 16);
	text_add(&t, P("e."));
	text_str(&t, "after");
	range = make_literal(file, t.s, t.n);
	if (!CHECK(!pickle_load(a, range, 6, "t", NULL, &p, &err), "%s", err.text))
		return;
	CHECK(p.size == t.n - 6 - 5, "%" PRIu64, p.size);
	CHECK(p.protocol == 3 && p.root->n == 4, "%d, %u items", p.protocol, p.root->n);
	for (size_t i = 0; i < 3; i++) {
		item = p.root->items[i];
		CHECK(item->kind == VALUE_BYTES && item->bytes->blob == range.blob &&
		      item->bytes->offset == at[i], "item %zu", i);
	}
	CHECK(p.root->items[0]->bytes->size == 2 << 20, "size");
	CHECK(p.root->items[1]->bytes->size == 2 << 16, "size");
	CHECK(p.root->items[2]->n == 1, "not a bytearray");
	item = p.root->items[3];
	CHECK(item->kind == VALUE_STRING && item->n == 2 << 16 && item->s[item->n - 1] == 'f' &&
	      item->s[item->n] == '\0', "string");
	CHECK(arena_bytes(a) < 1 << 20, "%zu bytes for 2 MiB of bytes", arena_bytes(a));
	CHECK(pickle_load(a, range, t.n + 1, "t", NULL, &p, &err) == -EBADMSG, "past the end");
}

/* A list of 100,000 items in batches, and opcodes across the window's edge. */
static void test_window(void)
{
	_cleanup_text_ struct text t = TEXT_INIT;
	_cleanup_arena_ struct arena *file = arena_new(), *a = arena_new();
	struct pickle p;
	struct error err = { 0 };

	text_str(&t, "]");
	for (int i = 0; i < 100000; i++) {
		if (i % 1000 == 0)
			text_str(&t, i ? "e(" : "(");
		text_char(&t, 'J');
		text_add(&t, &i, 4);
	}
	text_str(&t, "e.");
	if (!CHECK(!pickle_load(a, make_literal(file, t.s, t.n), 0, "t", NULL, &p, &err), "%s",
		   err.text))
		return;
	CHECK(p.root->n == 100000, "%u items", p.root->n);
	for (int i = 0; i < 100000 && i < (int)p.root->n; i++)
		if (!CHECK(p.root->items[i]->i == i, "item %d is %" PRId64, i, p.root->items[i]->i))
			return;
}

/* ---- the hook, globals, what is a pickle ---- */

/* a.Tensor becomes a tensor, numbered in order; a.Bad is refused. */
static int make_tensor(void *ctx, struct arena *a, struct value *v, struct error *err)
{
	uint64_t *n = ctx;

	if (value_is_record(v, "a", "Bad"))
		return fail(err, EBADMSG, "a bad one");
	if (value_is_record(v, "a", "Tensor"))
		*v = (struct value){ .kind = VALUE_TENSOR, .tensor = (*n)++ };
	return 0;
}

static void test_hook(void)
{
	static const struct row hooked[] = {
		{ 0, P("ca\nTensor\n)R."), "tensor(0)" },
		{ 0, P("](ca\nTensor\n)Rq\x00h\x00(ca\nTensor\noca\nTensor\n)\x81" "e."),
		  "[tensor(0), tensor(0), tensor(1), tensor(2)]" },
		{ 0, P("ca\nTensor\n)R}NNsb."), "tensor(0)" },
		{ 0, P("ca\nTensor\n)RNa."), AT(13) "APPEND on a tensor, must be a list" },
		{ 0, P("ca\nBad\n)R."), "!a bad one" },
		{ 0, P("](ca\nB\n)RN\x85" "e."), "[a.B(), (None,)]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(hooked); i++) {
		uint64_t n = 0;
		struct pickle_options o = { .made = make_tensor, .ctx = &n };
		_cleanup_text_ struct text t = TEXT_INIT;

		run(hooked[i].pickle, hooked[i].n, &o, &t);
		CHECK(!strcmp(t.s, hooked[i].want), "row %zu: %s, not %s", i, t.s, hooked[i].want);
	}
}

static void test_globals(void)
{
	static const char pickle[] = "(cb\nB\nca\nA\ncb\nB\n\x8c\x01" "a\x8c\x01" "A\x93(ic\nC\nt.";
	static const char *const want[] = { "b\nB", "a\nA", "c\nC" };
	_cleanup_arena_ struct arena *a = arena_new();
	struct pickle p;
	struct error err = { 0 };

	if (!CHECK(!pickle_load(a, make_literal(a, pickle, sizeof pickle - 1), 0, "t", NULL, &p,
				&err), "%s", err.text))
		return;
	CHECK(p.n_globals == 3, "%zu globals", p.n_globals);
	for (size_t i = 0; i < 3 && i < p.n_globals; i++)
		CHECK(!strcmp(p.globals[i], want[i]), "%s", p.globals[i]);
	CHECK(p.root->items[0] == p.root->items[2], "two values for one global");
}

static void test_is(void)
{
	static const struct { const char *s; size_t n; bool want; } cases[] = {
		{ P("\x80\x02}q\x00."), true },
		{ P("\x80\x02"), false },
		{ P("\x80\x06N."), false },
		{ P("\x80\x04\x95"), true },
		{ P("\x80\x02\xff"), false },
		{ P("N."), false },
		{ P("Git v2.39."), false },
		{ P("L119547037146038801333356L\n.M\xe9\x03."), true },
		{ P("License\n."), false },
		{ P("(dp0\nS'a'\np1\nI1\ns."), true },
		{ P("(lp0\nI1\na."), true },
		{ P("]q\x00(K\x01K\x02" "e."), true },
		{ P("ca\nB\n."), true },
		{ P("(iclass\nfoo\n(dp0\nb."), true },
		{ P(""), false },
		{ P("N"), false },
		{ P("."), false },
		{ P("NN."), false },
		{ P("(N."), false },
		{ P("a."), false },
		{ P("hello, world\n"), false },
		{ P("import os\nimport sys\n"), false },
		{ P("class Foo:\n    pass\n"), false },
		{ P("{\"a\": 1}"), false },
		{ P("Lorem ipsum\ndolor sit amet\n"), false },
		{ P("Variables\n"), false },
		{ P("PK\x03\x04"), false },
		{ P("}\n"), false },
		{ P("(1, 2)\n"), false },
		{ P("Unless specified below, all files in this folder are in the public domain, "
		    "and none of them is a pickle."), false },
	};

	_cleanup_text_ struct text t = TEXT_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(pickle_is((const uint8_t *)cases[i].s, cases[i].n) == cases[i].want,
		      "row %zu", i);
	/* protocol 0, cut: one that is long enough to tell */
	text_str(&t, "(lp0\n");
	for (int i = 0; i < 200; i++)
		text_printf(&t, "Vitem %d\np%d\na", i, i + 1);
	CHECK(!pickle_is((const uint8_t *)t.s, 100), "100 bytes of protocol 0");
	for (size_t n = 512; n < 600; n++)
		CHECK(pickle_is((const uint8_t *)t.s, n), "%zu bytes of protocol 0", n);
	/* what begins as the medium one is one, however much of it is there */
	for (size_t n = 3; n < sizeof medium; n++)
		CHECK(pickle_is((const uint8_t *)medium, n), "%zu bytes", n);
}

static void test_unsafe(void)
{
	static const struct { const char *module, *name; bool want; } cases[] = {
		{ "torch._utils", "_rebuild_tensor_v2", false },
		{ "torch", "FloatStorage", false },
		{ "torch", "float32", false },
		{ "torch", "Size", false },
		{ "torch.cuda", "HalfTensor", false },
		{ "torch.nn.modules.linear", "Linear", false },
		{ "torch.nn.modules.conv", "_ConvNd", false },
		{ "torch.optim.adam", "Adam", false },
		{ "torch.nn.functional", "relu", false },
		{ "collections", "OrderedDict", false },
		{ "numpy.core.multiarray", "_reconstruct", false },
		{ "numpy._core.multiarray", "scalar", false },
		{ "numpy", "float64", false },
		{ "datetime", "datetime", false },
		{ "pathlib", "PosixPath", false },
		{ "argparse", "Namespace", false },
		{ "builtins", "set", false },
		{ "__torch__.torch.nn.modules.linear", "Linear", false },
		{ "os", "system", true },
		{ "posix", "system", true },
		{ "builtins", "eval", true },
		{ "builtins", "getattr", true },
		{ "__builtin__", "exec", true },
		{ "functools", "partial", true },
		{ "sklearn.linear_model", "LogisticRegression", true },
		{ "torch", "load", true },
		{ "torch", "Storage.x", true },
		{ "torch.storage", "_load_from_bytes", true },
		{ "torch.nn.modules.module", "Module.load", true },
		{ "torch.nn.modules.module", "os.system", true },
		{ "torch.nn.modules.module", "partial", true },
		{ "torch.nn.modulesX", "Linear", true },
		{ "torch.nn", "Linear", true },
		{ "torch.hub", "load", true },
		{ "numpy", "load", true },
		{ "numpy", "float", true },
		{ "numpy", "float32 float64", true },
		{ "numpy", "", true },
		{ "", "", true },
		{ "collections", "namedtuple", true },
		{ "webbrowser", "open", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(pickle_unsafe(cases[i].module, cases[i].name) == cases[i].want, "%s.%s",
		      cases[i].module, cases[i].name);
}

int main(void)
{
	test_rows();
	test_cut();
	test_deep();
	test_laughs();
	test_bombs();
	test_copies();
	test_ranges();
	test_window();
	test_hook();
	test_globals();
	test_is();
	test_unsafe();
	return check_done();
}
