package script

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"

	lua "github.com/yuin/gopher-lua"
)

// Names of functions that no script can spell: what makes strings and tables of any
// size is compiled to calls of them.
const (
	nameConcat = "\x00concat"
	nameTable  = "\x00table"
	nameBound  = "\x00bound"
)

const (
	// sourceMax bounds the text of a script.
	sourceMax = 1 << 20
	// depthMax bounds how deep expressions and blocks lie in each other: who compiles
	// them calls itself.
	depthMax = 400
)

var errDeep = errors.New("chunk has too many syntax levels")

// compile compiles a script, guarded. name stands before the lines in errors.
func compile(source, name string) (*lua.FunctionProto, error) {
	if len(source) > sourceMax {
		return nil, fmt.Errorf("%s: the script has more than 1 MiB", name)
	}
	chunk, err := parse.Parse(strings.NewReader(source), name)
	if err != nil {
		return nil, syntaxError(err, name, 1+strings.Count(source, "\n"))
	}
	g := &guard{}
	g.block(chunk)
	if g.deep {
		return nil, fmt.Errorf("%s: %w", name, errDeep)
	}
	proto, err := lua.Compile(chunk, name)
	if err != nil {
		if c, ok := errors.AsType[*lua.CompileError](err); ok {
			return nil, fmt.Errorf("%s:%d: %s", name, c.Line, c.Message)
		}
		return nil, err
	}
	// What a script is given is in KEYS and ARGV: nobody can name the table of its
	// arguments, which would be made for each run.
	proto.IsVarArg &^= lua.VarArgNeedsArg
	nameVariables(proto)
	return proto, nil
}

// syntaxError puts an error of the parser into the words of Lua. lines is how many the
// text has.
func syntaxError(err error, name string, lines int) error {
	e, ok := errors.AsType[*parse.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", name, err)
	}
	near, line := e.Token, e.Pos.Line
	if line == parse.EOF || near == "" {
		near = "<eof>"
	}
	if line < 1 {
		line = lines
	}
	return fmt.Errorf("%s:%d: %s near '%s'", name, line, syntaxWords(e.Message), near)
}

// guard goes through a script and puts calls in the place of what must be counted.
type guard struct {
	depth int
	deep  bool // it lies too deep
}

func (g *guard) enter() bool {
	if g.depth++; g.depth > depthMax {
		g.deep = true
	}
	return !g.deep
}

func (g *guard) block(list []ast.Stmt) {
	defer func() { g.depth-- }()
	if !g.enter() {
		return
	}
	for _, s := range list {
		g.stmt(s)
	}
}

func (g *guard) stmt(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.AssignStmt:
		g.exprs(s.Lhs)
		g.exprs(s.Rhs)
	case *ast.LocalAssignStmt:
		g.exprs(s.Exprs)
	case *ast.FuncCallStmt:
		s.Expr = g.expr(s.Expr)
	case *ast.DoBlockStmt:
		g.block(s.Stmts)
	case *ast.WhileStmt:
		s.Condition = g.expr(s.Condition)
		g.block(s.Stmts)
	case *ast.RepeatStmt:
		s.Condition = g.expr(s.Condition)
		g.block(s.Stmts)
	case *ast.IfStmt:
		s.Condition = g.expr(s.Condition)
		g.block(s.Then)
		g.block(s.Else)
	case *ast.NumberForStmt:
		s.Init, s.Limit, s.Step = bound(g.expr(s.Init)), bound(g.expr(s.Limit)), bound(g.expr(s.Step))
		g.block(s.Stmts)
	case *ast.GenericForStmt:
		g.exprs(s.Exprs)
		g.block(s.Stmts)
	case *ast.FuncDefStmt:
		s.Name.Func, s.Name.Receiver = g.expr(s.Name.Func), g.expr(s.Name.Receiver)
		g.block(s.Func.Stmts)
	case *ast.ReturnStmt:
		g.exprs(s.Exprs)
	}
}

func (g *guard) exprs(list []ast.Expr) {
	for i := range list {
		list[i] = g.expr(list[i])
	}
}

func (g *guard) expr(e ast.Expr) ast.Expr {
	defer func() { g.depth-- }()
	if !g.enter() {
		return e
	}
	switch e := e.(type) {
	case *ast.AttrGetExpr:
		e.Object, e.Key = g.expr(e.Object), g.expr(e.Key)
	case *ast.TableExpr:
		return g.table(e)
	case *ast.FuncCallExpr:
		e.Func, e.Receiver = g.expr(e.Func), g.expr(e.Receiver)
		g.exprs(e.Args)
	case *ast.LogicalOpExpr:
		e.Lhs, e.Rhs = g.expr(e.Lhs), g.expr(e.Rhs)
	case *ast.RelationalOpExpr:
		e.Lhs, e.Rhs = g.expr(e.Lhs), g.expr(e.Rhs)
	case *ast.ArithmeticOpExpr:
		e.Lhs, e.Rhs = g.expr(e.Lhs), g.expr(e.Rhs)
	case *ast.StringConcatOpExpr:
		return g.concat(e)
	case *ast.UnaryMinusOpExpr:
		e.Expr = g.expr(e.Expr)
	case *ast.UnaryNotOpExpr:
		e.Expr = g.expr(e.Expr)
	case *ast.UnaryLenOpExpr:
		e.Expr = g.expr(e.Expr)
	case *ast.FunctionExpr:
		g.block(e.Stmts)
	}
	return e
}

// concat makes one call of a chain of "..", which is one step to make.
func (g *guard) concat(e *ast.StringConcatOpExpr) ast.Expr {
	var args []ast.Expr
	var rest ast.Expr = e
	for {
		c, ok := rest.(*ast.StringConcatOpExpr)
		if !ok {
			break
		}
		args = append(args, single(g.expr(c.Lhs)))
		rest = c.Rhs
	}
	args = append(args, single(g.expr(rest)))
	if len(args) > 200 { // registers are few
		tail := call(nameConcat, args[150:], e)
		tail.AdjustRet = true
		args = append(args[:150:150], tail)
	}
	return call(nameConcat, args, e)
}

// table makes a call of a table that ends with all that a call returns: it gets the table
// without those, at which place they begin, and them.
func (g *guard) table(e *ast.TableExpr) ast.Expr {
	for _, f := range e.Fields {
		if f.Key != nil {
			f.Key = g.expr(f.Key)
		}
		f.Value = g.expr(f.Value)
	}
	if len(e.Fields) == 0 || e.Fields[len(e.Fields)-1].Key != nil {
		return e
	}
	switch last := e.Fields[len(e.Fields)-1].Value.(type) {
	case *ast.Comma3Expr:
		if last.AdjustRet {
			return e
		}
	case *ast.FuncCallExpr:
		if last.AdjustRet {
			return e
		}
	default:
		return e
	}
	n := 0
	for _, f := range e.Fields {
		if f.Key == nil {
			n++
		}
	}
	last := e.Fields[len(e.Fields)-1]
	e.Fields = e.Fields[:len(e.Fields)-1]
	return call(nameTable, []ast.Expr{e, &ast.NumberExpr{Value: strconv.Itoa(n)}, last.Value}, e)
}

// bound makes a call of a bound of a loop that may be the text of a number: Lua takes that,
// as what is in ARGV, and the compiler does not.
func bound(e ast.Expr) ast.Expr {
	switch e.(type) {
	case nil, *ast.NumberExpr, *ast.ArithmeticOpExpr, *ast.UnaryLenOpExpr:
		return e
	}
	return call(nameBound, []ast.Expr{single(e)}, e)
}

// single makes an expression one value, as operands are.
func single(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.FuncCallExpr:
		e.AdjustRet = true
	case *ast.Comma3Expr:
		e.AdjustRet = true
	}
	return e
}

// call returns the call of a function that stands where at does.
func call(name string, args []ast.Expr, at ast.Expr) *ast.FuncCallExpr {
	fn := &ast.IdentExpr{Value: name}
	c := &ast.FuncCallExpr{Func: fn, Args: args, AdjustRet: true}
	for _, n := range []ast.PositionHolder{fn, c} {
		n.SetLine(at.Line())
		n.SetLastLine(max(at.Line(), at.LastLine()))
	}
	return c
}
