package dynamodb

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// Limits of a number: 38 significant digits, magnitudes from 1E-130 to just
// below 1E+126.
const (
	maxDigits   = 38
	maxExponent = 126
	minExponent = -129
)

// decimal is 0.digits x 10^exp, with a sign. Zero has no digits.
type decimal struct {
	negative bool
	n        int
	exp      int
	digits   [maxDigits]byte // ASCII, neither first nor last of the n is '0'
}

// canonicalNumber is the one text of a number: plain decimal notation without
// needless zeros. Equal numbers have equal texts.
func canonicalNumber(s string) (string, error) {
	if plainInteger(s) {
		return s, nil
	}
	d, err := parseDecimal(s)
	if err != nil {
		return "", err
	}
	return d.String(), nil
}

// plainInteger says that s is canonical already: the usual case.
func plainInteger(s string) bool {
	t := s
	if len(t) > 1 && t[0] == '-' {
		t = t[1:]
	}
	if t == "" || len(t) > maxDigits || t[0] == '0' && s != "0" {
		return false
	}
	for i := range len(t) {
		if t[i] < '0' || t[i] > '9' {
			return false
		}
	}
	return true
}

func parseDecimal(s string) (decimal, error) {
	var d decimal
	notNumber := func() (decimal, error) {
		return d, invalid("The parameter cannot be converted to a numeric value: %s", s)
	}
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		d.negative = s[i] == '-'
		i++
	}
	// point is where the decimal point stands, counted from the first digit
	// that is not zero; zeros are those that only a later digit makes count.
	point, zeros := 0, 0
	seen, started, pointSeen, tooLong := false, false, false, false
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && !pointSeen {
			pointSeen = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen = true
		if c == '0' && !started {
			if pointSeen {
				point--
			}
			continue
		}
		started = true
		if !pointSeen {
			point++
		}
		if c == '0' {
			zeros++
			continue
		}
		if d.n+zeros+1 > maxDigits {
			tooLong = true
			continue
		}
		for ; zeros > 0; zeros-- {
			d.digits[d.n] = '0'
			d.n++
		}
		d.digits[d.n] = c
		d.n++
	}
	if !seen {
		return notNumber()
	}
	exp := 0
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		var err error
		if exp, err = strconv.Atoi(s[i+1:]); err != nil {
			if !errors.Is(err, strconv.ErrRange) {
				return notNumber()
			}
			exp = 1 << 20
			if strings.HasPrefix(s[i+1:], "-") {
				exp = -exp
			}
		}
		i = len(s)
	}
	if i < len(s) {
		return notNumber()
	}
	if tooLong {
		return d, invalid("Attempting to store more than 38 significant digits in a Number")
	}
	if d.n == 0 {
		return decimal{}, nil
	}
	d.exp = point + exp
	return d, d.inRange()
}

func (d *decimal) inRange() error {
	if d.exp > maxExponent {
		return invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
	}
	if d.exp < minExponent {
		return invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	return nil
}

// String is the canonical text.
func (d *decimal) String() string {
	if d.n == 0 {
		return "0"
	}
	b := make([]byte, 0, 8+d.n+max(d.exp, -d.exp))
	if d.negative {
		b = append(b, '-')
	}
	digits := d.digits[:d.n]
	switch {
	case d.exp <= 0:
		b = append(b, "0."...)
		for range -d.exp {
			b = append(b, '0')
		}
		b = append(b, digits...)
	case d.exp >= d.n:
		b = append(b, digits...)
		for range d.exp - d.n {
			b = append(b, '0')
		}
	default:
		b = append(b, digits[:d.exp]...)
		b = append(b, '.')
		b = append(b, digits[d.exp:]...)
	}
	return string(b)
}

// compareNumbers orders two canonical numbers.
func compareNumbers(a, b string) int {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	if errX == nil && errY == nil {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	var bufA, bufB [maxDigits + 4]byte
	return strings.Compare(string(appendNumberKey(bufA[:0], a)), string(appendNumberKey(bufB[:0], b)))
}

// appendNumberKey appends bytes whose order is that of the canonical numbers
// they stand for and of which none begins another.
func appendNumberKey(dst []byte, canonical string) []byte {
	d, err := parseDecimal(canonical)
	if err != nil || d.n == 0 {
		return append(dst, 0x80) // a canonical number always parses
	}
	exp := uint16(d.exp - minExponent) // 0 to 255
	start := len(dst) + 1
	dst = append(dst, 0x81, byte(exp>>8), byte(exp))
	dst = append(dst, d.digits[:d.n]...)
	dst = append(dst, 0)
	if d.negative {
		dst[start-1] = 0x7f
		for i := start; i < len(dst); i++ {
			dst[i] = ^dst[i]
		}
	}
	return dst
}

// addNumbers is a+b, or a-b when minus is set.
func addNumbers(a, b string, minus bool) (string, error) {
	x, errX := strconv.ParseInt(a, 10, 64)
	y, errY := strconv.ParseInt(b, 10, 64)
	const safe = 1 << 62
	if errX == nil && errY == nil && x > -safe && x < safe && y > -safe && y < safe {
		if minus {
			y = -y
		}
		return strconv.FormatInt(x+y, 10), nil
	}
	p, scaleP := scaled(a)
	q, scaleQ := scaled(b)
	scale := max(scaleP, scaleQ)
	p.Mul(p, pow10(scale-scaleP))
	q.Mul(q, pow10(scale-scaleQ))
	if minus {
		q.Neg(q)
	}
	return canonicalNumber(p.Add(p, q).String() + "E-" + strconv.Itoa(scale))
}

// scaled is a canonical number as an integer and the digits after its point.
func scaled(s string) (*big.Int, int) {
	scale := 0
	if i := strings.IndexByte(s, '.'); i >= 0 {
		scale = len(s) - i - 1
		s = s[:i] + s[i+1:]
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		n = new(big.Int) // a canonical number always parses
	}
	return n, scale
}

func pow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// numberSize is the size of a number: a byte for two significant digits, one
// more, and one for a minus.
func numberSize(canonical string) int {
	t := strings.TrimLeft(canonical, "-0.")
	if strings.IndexByte(canonical, '.') < 0 {
		t = strings.TrimRight(t, "0")
	}
	n := len(t) - strings.Count(t, ".")
	size := (n+1)/2 + 1
	if canonical[0] == '-' {
		size++
	}
	return size
}
