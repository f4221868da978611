package hook

// DeliveryWrite is one conditional write of a delivery's row and what belongs
// to it, all or nothing.
type DeliveryWrite struct {
	// Delivery is the row to be. Its Rev is the new revision: the write is
	// made only where the row is at Rev-1, or, for Rev 1, where there is none.
	Delivery *Delivery
	// Attempt is what the write records; nil when nothing was attempted. The
	// first one is kept inside the row (Delivery.First), later ones beside it.
	Attempt *Attempt
	// DropDeadLetter is the id of an entry to remove; empty: none.
	DropDeadLetter string
	// AddDeadLetter is an entry to make; nil: none.
	AddDeadLetter *DeadLetter
	// Hold lets the write be made only while the endpoint is not active and at
	// that epoch, and keeps the event from expiring; nil: no such check. A
	// delivery that is held already is held once.
	Hold *Hold
	// Unhold says that the row was held and is not any more: its event may
	// expire again, unless other deliveries of it are held.
	Unhold bool
}

// Hold is what has to be true of an endpoint for a delivery to be held.
type Hold struct {
	Epoch int64
	Again bool // the row is held already, by an earlier message
}
