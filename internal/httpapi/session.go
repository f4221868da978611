package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"time"

	"posthorn/internal/hook"
)

// A session lets a browser call the API without holding an API key. It is
// stored nowhere: its cookie carries the key's id and the hash of its secret,
// sealed, and every process can open it. It ends with its key, and after
// sessionAge at the latest. The key itself cannot be got back from it.
const (
	sessionAge = 12 * time.Hour
	// sessionSubject is whose secret a session is to the sealer, in the place of
	// an endpoint's id. No endpoint has it.
	sessionSubject = "console session"
	sessionVersion = 1

	// Where the page came by https the cookie is bound to it and to this very
	// host (RFC 6265bis, section 4.1.3.2).
	sessionCookie       = "posthorn-session"
	secureSessionCookie = "__Host-" + sessionCookie

	// consoleHeader has to be on every request that a session's cookie speaks
	// for. A page of another origin cannot send it unless it is asked for first
	// (a CORS preflight), which is always denied.
	consoleHeader = "X-Posthorn-Console"
)

// session is who was let in, and until when.
type session struct {
	keyID   string // a ULID
	hash    [sha256.Size]byte
	expires time.Time
}

// sealSession returns the session as the value of a cookie.
func (a *API) sealSession(ctx context.Context, s session) (string, error) {
	plain := make([]byte, 0, 1+8+len(s.hash)+len(s.keyID))
	plain = append(plain, sessionVersion)
	plain = binary.BigEndian.AppendUint64(plain, uint64(s.expires.Unix()))
	plain = append(plain, s.hash[:]...)
	plain = append(plain, s.keyID...)
	sealed, err := a.o.Sealer.Seal(ctx, DefaultTenant, sessionSubject, plain)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openSession returns the session of a cookie's value. errUnauthorized when it
// is none, or is over; any other error is a service's.
func (a *API) openSession(ctx context.Context, value string) (session, error) {
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return session{}, errUnauthorized
	}
	plain, err := a.o.Sealer.Open(ctx, DefaultTenant, sessionSubject, sealed)
	if errors.Is(err, hook.ErrSealed) {
		return session{}, errUnauthorized
	}
	if err != nil {
		return session{}, err
	}
	const head = 1 + 8 + sha256.Size
	if len(plain) <= head || plain[0] != sessionVersion {
		return session{}, errUnauthorized
	}
	s := session{keyID: string(plain[head:]), expires: time.Unix(int64(binary.BigEndian.Uint64(plain[1:9])), 0).UTC()}
	copy(s.hash[:], plain[9:head])
	if !hook.ValidKeyID(s.keyID) || !a.o.Now().Before(s.expires) {
		return session{}, errUnauthorized
	}
	return s, nil
}

// sessionOf returns the session that speaks for a request, if one does: its
// cookie together with the console's header. An unsafe method has to come from
// a page of this very host as well.
func (a *API) sessionOf(r *http.Request) (s session, ok bool, err error) {
	cookies := r.CookiesNamed(cookieName(r))
	if len(cookies) == 0 || r.Header.Get(consoleHeader) == "" {
		return session{}, false, nil
	}
	if err := ownPage(r); err != nil {
		return session{}, false, err
	}
	s, err = a.openSession(r.Context(), cookies[0].Value)
	return s, err == nil, err
}

// ownPage refuses a request that changes something and does not come from a page
// of this host, as the browser says in Sec-Fetch-Site or Origin.
func ownPage(r *http.Request) error {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return &problem{kind: kindForeignOrigin, cause: err}
	}
	return nil
}

// overTLS says whether a request came by https, to us or to what stands before
// us. Whoever pretends that it did locks out nobody but themselves.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func cookieName(r *http.Request) string {
	if overTLS(r) {
		return secureSessionCookie
	}
	return sessionCookie
}

// setSession makes the browser keep a session's cookie until it is closed, or
// forget it, where value is empty. No script can read it, and no other site's
// page can make the browser send it.
func setSession(w http.ResponseWriter, r *http.Request, value string) {
	c := &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/",
		Secure: overTLS(r), HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// sessionAnswer is who calls, as they see it themselves.
type sessionAnswer struct {
	Auth      string    `json:"auth"` // "keys", or "off" where nobody is asked
	KeyID     text      `json:"key_id"`
	Role      hook.Role `json:"role"`
	Tenant    string    `json:"tenant"`
	ExpiresAt moment    `json:"expires_at"` // null: it does not
	Version   string    `json:"version"`
}

func (a *API) answerCaller(w http.ResponseWriter, r *http.Request, status int, c caller) error {
	auth := "keys"
	if a.o.Open {
		auth = "off"
	}
	return a.answer(w, r, status, sessionAnswer{
		Auth: auth, KeyID: text(c.keyID), Role: c.role, Tenant: c.tenant, ExpiresAt: moment(c.expires), Version: a.o.Version,
	})
}

func (a *API) getSession(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	return a.answerCaller(w, r, http.StatusOK, callerOf(r))
}

// startSession takes a key once, and gives the browser a cookie for it.
func (a *API) startSession(w http.ResponseWriter, r *http.Request) error {
	if err := ownPage(r); err != nil {
		return err
	}
	var key string
	err := readObject(w, r, func(name, value []byte) (err error) {
		if string(name) != "key" {
			return unknownField(name, value)
		}
		key, err = stringValue("key", value)
		return err
	})
	if err != nil {
		return err
	}
	if key == "" {
		return missing("key")
	}
	if a.o.Open {
		return &hook.InvalidError{Field: "key", Code: "invalid_request", Reason: "nobody is asked for one here"}
	}
	c, hash, err := a.callerByText(r.Context(), strings.TrimSpace(key))
	if errors.Is(err, errUnauthorized) {
		return &problem{kind: kindUnauthorized, field: "key", detail: "key: no such key exists."}
	}
	if err != nil {
		return err
	}
	c.expires = a.o.Now().Add(sessionAge).Truncate(time.Second)
	value, err := a.sealSession(r.Context(), session{keyID: c.keyID, hash: hash, expires: c.expires})
	if err != nil {
		return err
	}
	setSession(w, r, value)
	return a.answerCaller(w, r, http.StatusCreated, c)
}

func (a *API) endSession(w http.ResponseWriter, r *http.Request) error {
	if err := ownPage(r); err != nil {
		return err
	}
	setSession(w, r, "")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
