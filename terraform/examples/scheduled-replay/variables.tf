variable "cluster_arn" {
  description = "ECS cluster."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with a way to the brokers."
  type        = list(string)
}

variable "image" {
  description = "Image of kafka-sidecar, by digest."
  type        = string
}

variable "bootstrap_servers" {
  description = "Brokers, comma separated."
  type        = string
}
