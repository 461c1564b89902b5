package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Lua says of what is nil which variable it was. The interpreter knows names of calls
// only, by their instruction, for errors of arguments. So each instruction that can fail
// by what a variable holds gets a name there: that of the variable.

const (
	// namesApart is between the names of an instruction with several operands.
	namesApart = "\x00"
	// namesBackMax is how many instructions are looked at for what a register was set by.
	namesBackMax = 64
)

// nameVariables names the variables of a program.
func nameVariables(p *lua.FunctionProto) {
	calls := make(map[int]bool, len(p.DbgCalls))
	for i := range p.DbgCalls {
		c := &p.DbgCalls[i]
		calls[c.Pc] = true
		if fn := argA(p.Code[c.Pc]); c.Name == nameConcat {
			c.Name = operands(p, c.Pc)
		} else {
			c.Name = variable(p, c.Pc, fn)
		}
	}
	for pc := 0; pc < len(p.Code); pc++ {
		if calls[pc] {
			continue
		}
		if name := operandsAt(p, pc); strings.Trim(name, namesApart) != "" {
			p.DbgCalls = append(p.DbgCalls, lua.DbgCall{Pc: pc, Name: name})
		}
		pc += upvaluesBehind(p, pc)
	}
	for _, f := range p.FunctionPrototypes {
		nameVariables(f)
	}
}

// operandsAt names what an instruction takes, if it can fail by that.
func operandsAt(p *lua.FunctionProto, pc int) string {
	i := p.Code[pc]
	switch opcode(i) {
	case lua.OP_GETTABLE, lua.OP_GETTABLEKS, lua.OP_SELF, lua.OP_UNM, lua.OP_LEN:
		return variable(p, pc, argB(i))
	case lua.OP_SETTABLE, lua.OP_SETTABLEKS:
		return variable(p, pc, argA(i))
	case lua.OP_ADD, lua.OP_SUB, lua.OP_MUL, lua.OP_DIV, lua.OP_MOD, lua.OP_POW:
		return variable(p, pc, argB(i)) + namesApart + variable(p, pc, argC(i))
	}
	return ""
}

// operands names the arguments of a call.
func operands(p *lua.FunctionProto, pc int) string {
	first, n := argA(p.Code[pc])+1, argB(p.Code[pc])-1
	names := make([]string, max(n, 0))
	for i := range names {
		names[i] = variable(p, pc, first+i)
	}
	return strings.Join(names, namesApart)
}

// variable names what a register holds before an instruction, as Lua does: "field 'x'";
// "" if it has no name.
func variable(p *lua.FunctionProto, pc, register int) string {
	if register >= constantsFrom {
		return ""
	}
	if name := local(p, pc, register); name != "" {
		return "local '" + name + "'"
	}
	for at := pc - 1; at >= max(0, pc-namesBackMax); at-- {
		i := p.Code[at]
		if !sets(i, register) || isUpvalue(p, at) {
			continue
		}
		switch opcode(i) {
		case lua.OP_GETGLOBAL:
			return "global '" + p.Constants[argBx(i)].String() + "'"
		case lua.OP_GETTABLE, lua.OP_GETTABLEKS:
			return named("field", p, argC(i))
		case lua.OP_SELF:
			return named("method", p, argC(i))
		case lua.OP_GETUPVAL:
			if n := argB(i); n < len(p.DbgUpvalues) {
				return "upvalue '" + p.DbgUpvalues[n] + "'"
			}
		case lua.OP_MOVE, lua.OP_MOVEN:
			if argB(i) < register {
				return variable(p, at, argB(i))
			}
		}
		return ""
	}
	return ""
}

// named names what lies under a key, if that is a constant.
func named(kind string, p *lua.FunctionProto, key int) string {
	if key < constantsFrom || key-constantsFrom >= len(p.Constants) {
		return ""
	}
	if s, ok := p.Constants[key-constantsFrom].(lua.LString); ok {
		return kind + " '" + string(s) + "'"
	}
	return ""
}

// local is the local variable that a register is while an instruction runs.
func local(p *lua.FunctionProto, pc, register int) string {
	for _, x := range p.DbgLocals {
		switch {
		case x.StartPc > pc:
			return ""
		case x.EndPc < pc && x.EndPc != 0: // its block has ended
		case register > 0:
			register--
		case strings.HasPrefix(x.Name, "("): // the loop's own
			return ""
		default:
			return x.Name
		}
	}
	return ""
}

// sets reports whether an instruction sets a register.
func sets(i uint32, register int) bool {
	a := argA(i)
	switch opcode(i) {
	case lua.OP_SETGLOBAL, lua.OP_SETUPVAL, lua.OP_SETTABLE, lua.OP_SETTABLEKS, lua.OP_JMP, lua.OP_EQ, lua.OP_LT, lua.OP_LE,
		lua.OP_TEST, lua.OP_RETURN, lua.OP_SETLIST, lua.OP_CLOSE, lua.OP_NOP:
		return false
	case lua.OP_CALL, lua.OP_TAILCALL, lua.OP_VARARG, lua.OP_FORLOOP, lua.OP_FORPREP, lua.OP_TFORLOOP:
		return register >= a
	case lua.OP_LOADNIL:
		return register >= a && register <= argB(i)
	case lua.OP_SELF:
		return register == a || register == a+1
	}
	return register == a
}

// isUpvalue reports whether what stands at pc is no instruction, but says where a
// function that was made just before it has a variable from.
func isUpvalue(p *lua.FunctionProto, pc int) bool {
	for at := pc - 1; at >= 0; at-- {
		switch opcode(p.Code[at]) {
		case lua.OP_CLOSURE:
			return pc <= at+upvaluesBehind(p, at)
		case lua.OP_MOVE, lua.OP_MOVEN, lua.OP_GETUPVAL:
		default:
			return false
		}
	}
	return false
}

func upvaluesBehind(p *lua.FunctionProto, pc int) int {
	if opcode(p.Code[pc]) != lua.OP_CLOSURE {
		return 0
	}
	return int(p.FunctionPrototypes[argBx(p.Code[pc])].NumUpvalues)
}

// An instruction is opcode:6 A:8 C:9 B:9, where C and B together are Bx. From
// constantsFrom on, B and C are constants.
const constantsFrom = 1 << 8

func opcode(i uint32) int { return int(i >> 26) }
func argA(i uint32) int   { return int(i>>18) & 0xff }
func argB(i uint32) int   { return int(i & 0x1ff) }
func argC(i uint32) int   { return int(i>>9) & 0x1ff }
func argBx(i uint32) int  { return int(i & 0x3ffff) }

// failed returns the names of the variables that an instruction takes: for a handler of
// errors of the one that has failed, for other functions of the one that has called them.
func failed(v *vm, L *lua.LState) func(operand int) string {
	return func(operand int) string {
		frame, ok := L.GetStack(0)
		if !ok {
			return ""
		}
		if caller, ok := L.GetStack(1); ok {
			fn, err := L.GetInfo("f", caller, lua.LNil)
			if f, is := fn.(*lua.LFunction); err == nil && is && !f.IsG {
				v.meter.count(len(f.Proto.DbgCalls)/8, 0) // all are looked at
			}
		}
		if _, err := L.GetInfo("n", frame, lua.LNil); err != nil || !strings.Contains(frame.Name, " '") {
			return ""
		}
		if names := strings.Split(frame.Name, namesApart); operand < len(names) {
			return names[operand]
		}
		return ""
	}
}

func noName(int) string { return "" }
