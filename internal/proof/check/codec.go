package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// A history is written as lines of JSON. The first says what follows and what
// judges it, every other one is an operation, a fault, a leader or a problem:
//
//	{"tutti_history":1,"suite":{"Rules":[{"Prefix":"r:","Check":"register"}]}}
//	{"op":{"client":3,"node":1,"call":7,"return":9,"at":1200,"until":3400,"outcome":"ok",
//	       "cmds":[{"args":["INCR","r:1"],"reply":5}]}}
//	{"fault":{"Name":"crash 2","From":100,"To":2000}}
//
// Times are nanoseconds. A reply is null, a number, a string, an array or
// {"error":…}; strings that are not UTF-8 are {"base64":…}. An operation without
// a known end has no return.

const codecVersion = 1

// What a decoder takes.
const (
	lineBytesMax  = 64 << 20
	replyDepthMax = 8
)

type wireLine struct {
	Version int     `json:"tutti_history,omitzero"`
	Suite   *Suite  `json:"suite,omitempty"`
	Op      *wireOp `json:"op,omitempty"`
	Fault   *Span   `json:"fault,omitempty"`
	Leader  *Leader `json:"leader,omitempty"`
	Problem *string `json:"problem,omitempty"`
}

type wireOp struct {
	Client  int           `json:"client"`
	Node    int           `json:"node"`
	Call    int64         `json:"call"`
	Return  int64         `json:"return,omitzero"`
	At      time.Duration `json:"at"`
	Until   time.Duration `json:"until"`
	Outcome string        `json:"outcome"`
	Why     wireText      `json:"why,omitzero"`
	Cmds    []wireCmd     `json:"cmds"`
}

type wireCmd struct {
	Args    []wireText `json:"args"`
	Reply   wireReply  `json:"reply,omitzero"`
	Watched bool       `json:"watched,omitzero"`
}

// wireText is any bytes.
type wireText string

type encoded struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (s wireText) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(s)) {
		return json.Marshal(string(s))
	}
	return json.Marshal(encoded{[]byte(s)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *wireText) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(s))
	}
	var e encoded
	if err := strict(b, &e); err != nil {
		return err
	}
	if e.Base64 == nil {
		return errors.New("neither a string nor base64")
	}
	*s = wireText(e.Base64)
	return nil
}

// wireReply is a Reply.
type wireReply Reply

type wireError struct {
	Error *wireText `json:"error"`
}

// MarshalJSON implements json.Marshaler.
func (r wireReply) MarshalJSON() ([]byte, error) {
	switch r.Kind {
	case KindNil:
		return []byte("null"), nil
	case KindInt:
		return json.Marshal(r.Int)
	case KindString:
		return json.Marshal(wireText(r.Str))
	case KindError:
		text := wireText(r.Str)
		return json.Marshal(wireError{&text})
	case KindArray:
		elems := make([]wireReply, len(r.Elems))
		for i, e := range r.Elems {
			elems[i] = wireReply(e)
		}
		return json.Marshal(elems)
	}
	return nil, fmt.Errorf("a reply of kind %d inside another", r.Kind)
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *wireReply) UnmarshalJSON(b []byte) error { return r.unmarshal(b, 0) }

func (r *wireReply) unmarshal(b []byte, depth int) error {
	b = bytes.TrimSpace(b)
	switch {
	case depth > replyDepthMax:
		return errors.New("a reply nested too deeply")
	case string(b) == "null":
		r.Kind = KindNil
		return nil
	case b[0] == '"', bytes.HasPrefix(b, []byte(`{"base64"`)):
		r.Kind = KindString
		var s wireText
		err := s.UnmarshalJSON(b)
		r.Str = string(s)
		return err
	case b[0] == '{':
		r.Kind = KindError
		var e wireError
		if err := strict(b, &e); err != nil {
			return err
		}
		if e.Error == nil {
			return errors.New("a reply that is neither a string nor an error")
		}
		r.Str = string(*e.Error)
		return nil
	case b[0] == '[':
		r.Kind = KindArray
		var elems []json.RawMessage
		if err := json.Unmarshal(b, &elems); err != nil {
			return err
		}
		r.Elems = make([]Reply, len(elems))
		for i, e := range elems {
			if err := (*wireReply)(&r.Elems[i]).unmarshal(e, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	r.Kind = KindInt
	return json.Unmarshal(b, &r.Int)
}

func strict(b []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

// Encode writes a history.
func Encode(w io.Writer, h *History) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(wireLine{Version: codecVersion, Suite: &h.Suite})
	for i := range h.Ops {
		err = errors.Join(err, enc.Encode(wireLine{Op: toWire(&h.Ops[i])}))
	}
	for i := range h.Faults {
		err = errors.Join(err, enc.Encode(wireLine{Fault: &h.Faults[i]}))
	}
	for i := range h.Leaders {
		err = errors.Join(err, enc.Encode(wireLine{Leader: &h.Leaders[i]}))
	}
	for i := range h.Problems {
		err = errors.Join(err, enc.Encode(wireLine{Problem: &h.Problems[i]}))
	}
	if err != nil {
		return fmt.Errorf("encode history: %w", err)
	}
	return out.Flush()
}

func toWire(op *Op) *wireOp {
	o := wireOp{Client: op.Client, Node: op.Node, Call: op.Call, Return: op.Return, At: op.At, Until: op.Until,
		Outcome: op.Outcome.String(), Why: wireText(op.Why), Cmds: make([]wireCmd, len(op.Cmds))}
	if op.Return == Never {
		o.Return = 0
	}
	for i, c := range op.Cmds {
		args := make([]wireText, len(c.Args))
		for j, a := range c.Args {
			args[j] = wireText(a)
		}
		o.Cmds[i] = wireCmd{Args: args, Reply: wireReply(c.Reply), Watched: c.Watched}
	}
	return &o
}

// Decode reads a history.
func Decode(r io.Reader) (*History, error) {
	h := &History{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineBytesMax)
	for n := 1; lines.Scan(); n++ {
		var l wireLine
		err := strict(lines.Bytes(), &l)
		switch {
		case err != nil:
		case n == 1 && (l.Version != codecVersion || l.Suite == nil):
			err = fmt.Errorf("not a history of version %d", codecVersion)
		case n == 1:
			h.Suite = *l.Suite
		default:
			err = h.take(l)
		}
		if err != nil {
			return nil, fmt.Errorf("history, line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return h, nil
}

func (h *History) take(l wireLine) error {
	switch {
	case l.Op != nil:
		if len(h.Ops) >= OpsMaxDefault {
			return errors.New("too many operations")
		}
		op, err := fromWire(l.Op)
		h.Ops = append(h.Ops, op)
		return err
	case l.Fault != nil:
		h.Faults = append(h.Faults, *l.Fault)
	case l.Leader != nil:
		h.Leaders = append(h.Leaders, *l.Leader)
	case l.Problem != nil:
		h.Problems = append(h.Problems, *l.Problem)
	default:
		return errors.New("nothing known")
	}
	return nil
}

func fromWire(o *wireOp) (Op, error) {
	op := Op{Client: o.Client, Node: o.Node, Call: o.Call, Return: o.Return, At: o.At, Until: o.Until, Why: string(o.Why)}
	switch o.Outcome {
	case "ok":
	case "failed":
		op.Outcome = Failed
	case "unknown":
		op.Outcome, op.Return = Unknown, Never
		if o.Return != 0 {
			return op, errors.New("an unknown outcome with a return")
		}
	default:
		return op, fmt.Errorf("outcome %q", o.Outcome)
	}
	if len(o.Cmds) == 0 || op.Call <= 0 || op.Return <= op.Call {
		return op, errors.New("an operation without commands, or that returns before its call")
	}
	for _, c := range o.Cmds {
		if len(c.Args) == 0 {
			return op, errors.New("a command without a name")
		}
		args := make([]string, len(c.Args))
		for i, a := range c.Args {
			args[i] = string(a)
		}
		op.Cmds = append(op.Cmds, Cmd{Args: args, Reply: Reply(c.Reply), Watched: c.Watched})
	}
	return op, nil
}
