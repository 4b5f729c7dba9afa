// Dials each port that it reads, over TLS, with a client's certificate and the sessions that Go keeps.
//
// client.go CERTIFICATES VERSION (the highest of TLS). Prints, as a line of JSON for each: whether the session was resumed,
// and what the server answered to an option.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
)

type report struct {
	Resumed bool   `json:"resumed"`
	Answer  string `json:"answer"`
}

func main() {
	certificates, version := os.Args[1], os.Args[2]
	authority, err := os.ReadFile(certificates + "/ca.pem")
	if err != nil {
		panic(err)
	}
	shown, err := tls.LoadX509KeyPair(certificates+"/client.pem", certificates+"/client.key")
	if err != nil {
		panic(err)
	}
	config := &tls.Config{
		RootCAs:            x509.NewCertPool(),
		Certificates:       []tls.Certificate{shown},
		ServerName:         "localhost",
		MaxVersion:         map[string]uint16{"TLSv1_2": tls.VersionTLS12, "TLSv1_3": tls.VersionTLS13}[version],
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	config.RootCAs.AppendCertsFromPEM(authority)
	ports := bufio.NewScanner(os.Stdin)
	for ports.Scan() {
		json.NewEncoder(os.Stdout).Encode(dial("127.0.0.1:"+ports.Text(), config))
	}
}

func dial(address string, config *tls.Config) report {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return report{}
	}
	defer conn.Close()
	conn.Write([]byte("{\"magicNumber\":3927900}\n"))
	answer := make([]byte, 65536)
	count, _ := conn.Read(answer)
	return report{conn.ConnectionState().DidResume, string(answer[:count])}
}
